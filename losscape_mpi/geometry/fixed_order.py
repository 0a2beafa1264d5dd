"""Linear algebra whose bits do not depend on how many threads a process may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread: mpirun may bind a process to fewer cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def symmetric_eigen(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues, smallest first, and eigenvectors in columns of a symmetric matrix."""
    with one_thread():
        values, vectors = torch.linalg.eigh(torch.from_numpy(np.ascontiguousarray(matrix)))
    return values.numpy(), vectors.numpy()


def symmetric_values(matrix: np.ndarray) -> np.ndarray:
    """Return the eigenvalues of a symmetric matrix, smallest first."""
    with one_thread():
        return torch.linalg.eigvalsh(torch.from_numpy(np.ascontiguousarray(matrix))).numpy()


def length(vector: np.ndarray) -> float:
    """Return the norm of a float64 vector; numpy's own may sum with several threads."""
    return float(np.sqrt(np.square(vector).sum()))
