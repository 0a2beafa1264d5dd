"""Where to look: directions, their normalisation and the plane they span."""
