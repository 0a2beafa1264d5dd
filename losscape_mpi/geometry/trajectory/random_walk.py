"""What a path without any aim would look like: the null that a path's shares are held against."""

from __future__ import annotations

import numpy as np

from losscape_mpi.geometry.fixed_order import symmetric_values


def random_walk_gram(steps: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Return the expected Gram matrix of a random walk with the steps of a path, shape (t, t).

    Rows are positions seen from the center. Where the path ends there, entry (i, j) is the sum of
    the squared steps after max(i, j). Where it passes the center it is that of the steps between
    the center and the nearer of two rows on one side, 0 for rows on two sides; where it misses
    it, the way from the last row to the center counts as one more step.

    Args:
        steps: Distances between successive rows, shape (t - 1,).
        norms: Distances of the rows from the center, shape (t,).
    """
    position = np.cumsum([0.0, *np.square(steps)])
    at_center = np.flatnonzero(norms == 0)
    base = position[at_center[-1]] if len(at_center) else position[-1] + norms[-1] ** 2
    way = position - base  # (t,), negative before the center
    nearer = np.minimum(np.abs(way)[:, None], np.abs(way)[None, :])
    return np.where(np.outer(way, way) > 0, nearer, 0.0)


def shares(gram: np.ndarray, centered: bool) -> np.ndarray:
    """Return the parts of a path's variance along its principal directions, largest first.

    Args:
        gram: Inner products of the rows, shape (t, t).
        centered: Whether rows are taken about their mean.
    """
    gram = center_gram(gram) if centered else gram
    values = symmetric_values(gram)[::-1].clip(min=0.0)
    total = float(np.trace(gram))
    return values / total if total > 0 else np.zeros_like(values)


def center_gram(gram: np.ndarray) -> np.ndarray:
    """Return the Gram matrix of rows taken about their mean: J K J with J = I - 1 1'/t."""
    means = gram.mean(axis=0)
    return np.asarray(gram - means[:, None] - means[None, :] + means.mean())
