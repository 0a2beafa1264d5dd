"""A training path seen on a plane: least-squares coordinates, and how far off it runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from losscape_mpi.geometry.direction import DirectionArrays
from losscape_mpi.geometry.fixed_order import length
from losscape_mpi.geometry.trajectory.random_walk import random_walk_gram, shares
from losscape_mpi.geometry.trajectory.rows import PathRows


@dataclass(frozen=True, eq=False)
class Projection:
    """A path on a plane of k directions.

    Attributes:
        coordinates: Where each checkpoint falls, shape (t, k); NaN where it is not finite.
        residual: Distance from the plane over distance from the center, shape (t,): 0 in the
            plane (and at the center itself), 1 at a right angle.
        norms: Distance of each checkpoint from the center, shape (t,).
        steps: Distance between successive checkpoints, shape (t - 1,).
        explained: Part of the path's variance that the plane holds, under "centered" about the
            path's mean, under "uncentered" about the center; None where it has no meaning.
        null: What the best plane of a random walk with the same steps would hold; "uncentered"
            None where no checkpoint is the center.
    """

    coordinates: np.ndarray
    residual: np.ndarray
    norms: np.ndarray
    steps: np.ndarray
    explained: dict[str, float | None]
    null: dict[str, float | None]


def project_path(rows: PathRows, directions: DirectionArrays) -> Projection:
    """Return a path's least-squares projection onto the plane center + A x.

    x = M^-1 A' (theta - theta*) with M = A'A, the full Gram matrix: right for skew axes of any
    length. The path is read once, one checkpoint at a time.

    Args:
        rows: The path about the plane's center, with all tensors that move.
        directions: A, by axis and name.
    """
    axes = np.stack([rows.flatten(direction) for direction in directions.values()])  # (k, N)
    inverse = np.linalg.inv([[float((a * b).sum()) for b in axes] for a in axes])
    coordinates, residual, norms, steps = [], [], [], []
    total, previous = np.zeros(axes.shape[1]), None
    with np.errstate(invalid="ignore", over="ignore"):  # a diverged training
        for row in rows:
            x = inverse @ [float((axis * row).sum()) for axis in axes]
            norm = length(row)
            coordinates.append(x)
            norms.append(norm)
            residual.append(length(row - _at(x, axes)) / norm if norm != 0 else 0.0)
            if previous is not None:
                steps.append(length(row - previous))
            total += row
            previous = row
    found = np.array(coordinates), np.array(residual), np.array(norms), np.array(steps)
    mean = total / len(rows)
    off_mean = mean - _at(found[0].mean(axis=0), axes)
    return Projection(*found, *_shares(*found, length(mean) ** 2, length(off_mean) ** 2))


def _at(x: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return A x, shape (N,)."""
    return np.asarray(sum(factor * axis for factor, axis in zip(x, axes, strict=True)))


def _shares(
    coordinates: np.ndarray,
    residual: np.ndarray,
    norms: np.ndarray,
    steps: np.ndarray,
    mean_square: float,
    off_mean_square: float,
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Return the explained and the null shares.

    Args:
        coordinates: Shape (t, k).
        residual: Shape (t,).
        norms: Shape (t,).
        steps: Shape (t - 1,).
        mean_square: Squared distance of the path's mean from the center.
        off_mean_square: Squared distance of the path's mean from the plane.
    """
    explained: dict[str, float | None] = {"centered": None, "uncentered": None}
    null = dict(explained)
    if not np.isfinite(norms).all() or len(norms) < 2:
        return explained, null
    off = np.square(residual * norms).mean()
    walk = random_walk_gram(steps, norms)
    for kind, is_centered in (("centered", True), ("uncentered", False)):
        spread = np.square(norms).mean() - is_centered * mean_square
        outside = off - is_centered * off_mean_square
        if spread > 0:
            explained[kind] = float(np.clip(1 - outside / spread, 0, 1))
            if is_centered or not norms.all():  # seen from elsewhere a walk is one long way
                null[kind] = float(shares(walk, is_centered)[: coordinates.shape[1]].sum())
    return explained, null
