"""Maps of a plane, flat and in 3-D."""
