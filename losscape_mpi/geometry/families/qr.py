"""Directions of orthogonal blocks: the Q factors of Gaussian matrices."""

from __future__ import annotations

import numpy as np

from losscape_mpi.geometry.blocks import by_kernels, by_positions, is_pointwise, pointwise_names
from losscape_mpi.geometry.direction import Axes, Center, Made, scaled_direction
from losscape_mpi.geometry.gaussian import gaussian
from losscape_mpi.study.plane_config import AxisConfig


def directions(settings: AxisConfig, axes: Axes, center: Center) -> dict[str, Made]:
    """Return a direction for each axis, see `qr_direction`."""
    return {axis: qr_direction(settings, axis, center) for axis in axes}


def qr_direction(config: AxisConfig, axis: str, center: Center) -> Made:
    """Return a direction whose kernels (alpha) or O x I matrices (beta) are orthogonal.

    Then every filter gets the length of the weights' filter; biases and norm layers get 0. A
    kernel of a single number has a Q that is 1 or -1 alone, so alpha takes the O x I matrix there.

    Args:
        config: The seed.
        axis: alpha or beta; each has its own draws.
        center: The trained parameters.
    """

    def draw(name: str, weight: np.ndarray) -> np.ndarray:
        drawn = gaussian(config.seed, axis, name, weight.shape).astype(np.float64)
        role = center.role(name)
        by = by_kernels if axis == "alpha" and not is_pointwise(weight, role) else by_positions
        return by(drawn, orthogonal_factor, role)

    direction = scaled_direction(center, draw, "filter", "biasbn")
    record = {"normalize": "filter", "ignore": "biasbn", "seed": config.seed}
    return Made(direction, record | {"pointwise": pointwise_names(axis, center)})


def orthogonal_factor(matrices: np.ndarray) -> np.ndarray:
    """Return the thin Q of QR with a positive diagonal of R; of the transpose where it is wide.

    Without the rule of signs LAPACK's Q is not uniformly distributed: its first entry is never
    positive (Mezzadri 2007, "How to generate random matrices from the classical compact groups").

    Args:
        matrices: float64 of shape (count, rows, columns).
    """
    if matrices.shape[1] < matrices.shape[2]:
        return orthogonal_factor(matrices.swapaxes(1, 2)).swapaxes(1, 2)
    q, r = np.linalg.qr(matrices)
    signs = np.where(np.diagonal(r, axis1=1, axis2=2).real < 0, -1.0, 1.0)
    return q * signs[:, None, :]
