"""What is computed at a place: one file a measure."""
