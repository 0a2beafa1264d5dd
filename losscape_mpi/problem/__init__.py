"""The network and its data: everything that turns parameters into numbers."""
