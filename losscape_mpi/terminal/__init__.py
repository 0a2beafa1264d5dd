"""What the commands print: rows of status, tables."""
