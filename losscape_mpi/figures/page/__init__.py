"""The page: surfaces in a browser."""
