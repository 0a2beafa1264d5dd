"""losscape_mpi: the loss surface of a trained network, computed over MPI.

Nothing heavy is imported here: `render` and `status` run without torch or MPI.
"""

__version__ = "0.1.0"
