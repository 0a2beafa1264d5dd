"""The families of directions: the module of a kind's name makes its directions."""
