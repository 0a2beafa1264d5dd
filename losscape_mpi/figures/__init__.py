"""Figures from surface files; no torch, no MPI."""
