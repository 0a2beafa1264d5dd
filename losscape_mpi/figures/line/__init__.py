"""Curves along a line, of a spectrum and of a training."""
