"""Meshes for other programs."""
