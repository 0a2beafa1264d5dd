"""Principal directions of the weights."""

from __future__ import annotations

import numpy as np

from losscape_mpi.geometry.blocks import direction_from_weights
from losscape_mpi.geometry.direction import Axes, Center, Made
from losscape_mpi.study.plane_config import AxisConfig


def directions(settings: AxisConfig, axes: Axes, center: Center) -> dict[str, Made]:
    """Return a direction for each axis, see `svd_direction`."""
    return {axis: svd_direction(settings, axis, center) for axis in axes}


def svd_direction(config: AxisConfig, axis: str, center: Center) -> Made:
    """Return the best approximation of rank 1 to the kernels (alpha) or O x I matrices (beta).

    Then every filter gets the length of the weights' filter; see `direction_from_weights`.
    """
    return direction_from_weights(config, axis, center, principal_part)


def principal_part(matrices: np.ndarray) -> np.ndarray:
    """Return s1 u1 v1', the part of the largest singular value.

    Args:
        matrices: float64 of shape (count, rows, columns).
    """
    u, s, vt = np.linalg.svd(matrices, full_matrices=False)
    return np.asarray((u[:, :, :1] * s[:, None, :1]) @ vt[:, :1])
