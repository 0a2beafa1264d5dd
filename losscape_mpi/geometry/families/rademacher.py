"""Directions of random signs, scaled to the weights."""

from __future__ import annotations

import numpy as np

from losscape_mpi.geometry.direction import Axes, Center, Made, scaled_direction
from losscape_mpi.geometry.gaussian import gaussian
from losscape_mpi.study.plane_config import AxisConfig


def directions(settings: AxisConfig, axes: Axes, center: Center) -> dict[str, Made]:
    """Return a direction for each axis, see `rademacher_direction`."""
    return {axis: rademacher_direction(settings, axis, center) for axis in axes}


def rademacher_direction(config: AxisConfig, axis: str, center: Center) -> Made:
    """Return a direction of signs +1 and -1 with equal chance, normalised as a Gaussian one is.

    Spall 1992 ("Multivariate stochastic approximation using a simultaneous perturbation gradient
    approximation") perturbs by such signs: all entries of a filter move equally far. The signs are
    those of the Gaussian numbers of kind random at the same seed.

    Args:
        config: Seed, normalisation, and what happens to biases and norm layers.
        axis: alpha or beta; each has its own draws.
        center: The trained parameters.
    """
    direction = scaled_direction(
        center,
        lambda name, weight: np.where(gaussian(config.seed, axis, name, weight.shape) < 0, -1, 1),
        config.normalize,
        config.ignore,
    )
    record = {"normalize": config.normalize, "ignore": config.ignore, "seed": config.seed}
    return Made(direction, record)
