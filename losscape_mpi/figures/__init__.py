"""Figures from surface files; no torch, no MPI."""

from losscape_mpi.figures.library import load_matplotlib

load_matplotlib()  # before any other module of this part imports it
