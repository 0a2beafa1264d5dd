"""Training of small networks: the checkpoints that a study starts from."""
