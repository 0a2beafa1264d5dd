"""The numbers at a point of the plane."""
