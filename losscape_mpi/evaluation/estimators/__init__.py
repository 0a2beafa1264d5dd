"""Means over the samples: all of them, some of them, low precision corrected."""
