"""The networks that ship with the package: one architecture family per file."""
