"""Training paths: as curves over time, over a plane, and as a movie."""
