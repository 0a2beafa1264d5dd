"""What a network is tried for, on copies, before the first point of a run."""
