"""Who computes what: master, workers and their evaluator processes."""
