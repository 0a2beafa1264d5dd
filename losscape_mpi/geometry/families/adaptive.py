"""Directions of Gaussian numbers, each as large as its weight."""

from __future__ import annotations

import numpy as np

from losscape_mpi.geometry.direction import Axes, Center, Made, scaled_direction
from losscape_mpi.geometry.gaussian import gaussian
from losscape_mpi.study.plane_config import AxisConfig


def directions(settings: AxisConfig, axes: Axes, center: Center) -> dict[str, Made]:
    """Return a direction for each axis, see `adaptive_direction`."""
    return {axis: adaptive_direction(settings, axis, center) for axis in axes}


def adaptive_direction(config: AxisConfig, axis: str, center: Center) -> Made:
    """Return d = g * |w|, entry by entry, with Gaussian g.

    Kwon et al. 2021 (arXiv:2102.11600) measure sharpness in this metric. It has the same law as
    normalisation `weight`, g * w, and like it sees through a scaling of single nodes.

    Args:
        config: Seed, and what happens to biases and norm layers.
        axis: alpha or beta; each has its own draws.
        center: The trained parameters.
    """

    def draw(name: str, weight: np.ndarray) -> np.ndarray:
        size = np.abs(weight)
        if center.role(name).is_complex:  # of a pair both are as large: sqrt((a^2 + b^2) / 2)
            size = np.sqrt(np.square(weight).mean(axis=-1, keepdims=True))
        return gaussian(config.seed, axis, name, weight.shape) * size

    direction = scaled_direction(center, draw, "none", config.ignore)
    return Made(direction, {"ignore": config.ignore, "seed": config.seed})
