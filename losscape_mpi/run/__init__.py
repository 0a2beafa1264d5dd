"""One engine: from a study to its numbers, on the ranks of an MPI job or in this process."""
