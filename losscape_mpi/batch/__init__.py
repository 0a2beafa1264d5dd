"""Batch jobs: job files, the site's settings, and the scripts that SLURM gets."""
