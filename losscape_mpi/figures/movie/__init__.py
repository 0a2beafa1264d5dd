"""Movies of surfaces, and how any movie is written."""
