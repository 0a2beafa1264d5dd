"""Inner products and distances of a trajectory's rows, read from files as often as needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from losscape_mpi.geometry.fixed_order import length, one_thread
from losscape_mpi.geometry.trajectory.rows import BLOCK_BYTES, PathRows

STRIP = 256  # rows of the Gram matrix that one product gives


@dataclass(frozen=True, eq=False)
class Lengths:
    """Distances along a path.

    Attributes:
        norms: Of each row from the center, shape (t,).
        steps: Between successive rows, shape (t - 1,).
    """

    norms: np.ndarray
    steps: np.ndarray


def gram_matrix(rows: PathRows, block_bytes: int = BLOCK_BYTES) -> np.ndarray:
    """Return the inner products of a path's rows, float64 of shape (t, t).

    Args:
        rows: The path, read once by blocks of columns.
        block_bytes: Size of a block in memory.
    """
    gram = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    with one_thread():
        for block in rows.blocks(block_bytes):
            columns = torch.from_numpy(block)
            for start in range(0, len(gram), STRIP):  # the upper triangle is known by symmetry
                strip = slice(start, start + STRIP)
                gram[strip, : strip.stop].addmm_(columns[strip], columns[: strip.stop].T)
    return (gram.tril() + gram.tril(-1).T).numpy()


def measure_path(rows: PathRows) -> Lengths:
    """Return the distances along a path, which is read once, one checkpoint at a time."""
    norms, steps = [], []
    previous = None
    for row in rows:
        with np.errstate(invalid="ignore", over="ignore"):  # a diverged training
            norms.append(length(row))
            if previous is not None:
                steps.append(length(row - previous))
        previous = row
    return Lengths(np.array(norms), np.array(steps))


def combine(rows: PathRows, weights: np.ndarray) -> np.ndarray:
    """Return weighted sums of a path's rows, shape (k, N).

    Args:
        rows: The path, read once.
        weights: Shape (t, k).
    """
    sums = np.zeros((weights.shape[1], len(rows.center)))
    for row, factors in zip(rows, weights, strict=True):
        for k, factor in enumerate(factors):
            sums[k] += factor * row
    return sums
