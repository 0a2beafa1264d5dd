"""Directions of whitened weights."""

from __future__ import annotations

import numpy as np

from losscape_mpi.geometry.blocks import direction_from_weights
from losscape_mpi.geometry.direction import Axes, Center, Made
from losscape_mpi.study.plane_config import AxisConfig

RANK_TOLERANCE = 1e-6  # of the largest singular value; smaller ones are rounding


def directions(settings: AxisConfig, axes: Axes, center: Center) -> dict[str, Made]:
    """Return a direction for each axis, see `zca_direction`."""
    return {axis: zca_direction(settings, axis, center) for axis in axes}


def zca_direction(config: AxisConfig, axis: str, center: Center) -> Made:
    """Return the ZCA-whitened kernels (alpha) or O x I matrices (beta) of the weights.

    Then every filter gets the length of the weights' filter; see `direction_from_weights`.
    """
    return direction_from_weights(config, axis, center, whitened)


def whitened(matrices: np.ndarray) -> np.ndarray:
    """Return A S^(-1/2) with S = A'A / columns: sqrt(columns) times the polar factor U V' of A.

    By the singular value decomposition A = U diag(s) V', which is stable where S is singular:
    directions that A does not have stay 0.

    Args:
        matrices: float64 of shape (count, rows, columns).
    """
    u, s, vt = np.linalg.svd(matrices, full_matrices=False)
    is_there = s > RANK_TOLERANCE * s[:, :1]
    return np.asarray(np.sqrt(matrices.shape[2]) * (u * is_there[:, None, :]) @ vt)
