"""Forward passes over the whole data, and sums of what they give."""
