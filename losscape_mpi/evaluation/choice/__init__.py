"""What is chosen once, before a file is created."""
