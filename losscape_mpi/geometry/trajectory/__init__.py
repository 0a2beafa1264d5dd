"""A training's trajectory: its checkpoints as rows, on a plane, and beside a random walk."""
