"""The evaluator process: what a rank has computed beside it, one task after another."""
