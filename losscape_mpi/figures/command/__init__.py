"""What the render command takes, draws and writes."""
