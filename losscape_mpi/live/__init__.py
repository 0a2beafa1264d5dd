"""A running surface file in a browser: what is served, and to whom."""
