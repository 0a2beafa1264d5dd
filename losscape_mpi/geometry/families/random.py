"""Directions of Gaussian numbers, scaled to the weights."""

from __future__ import annotations

from losscape_mpi.geometry.direction import Axes, Center, Made, scaled_direction
from losscape_mpi.geometry.gaussian import gaussian
from losscape_mpi.study.plane_config import AxisConfig


def directions(settings: AxisConfig, axes: Axes, center: Center) -> dict[str, Made]:
    """Return a direction for each axis, see `random_direction`."""
    return {axis: random_direction(settings, axis, center) for axis in axes}


def random_direction(config: AxisConfig, axis: str, center: Center) -> Made:
    """Return a Gaussian direction, drawn and then normalised.

    Li et al. 2018 (arXiv:1712.09913), section 4.

    Args:
        config: Seed, normalisation, and what happens to biases and norm layers.
        axis: alpha or beta; each has its own draws.
        center: The trained parameters.
    """
    direction = scaled_direction(
        center,
        lambda name, weight: gaussian(config.seed, axis, name, weight.shape),
        config.normalize,
        config.ignore,
    )
    record = {"normalize": config.normalize, "ignore": config.ignore, "seed": config.seed}
    return Made(direction, record)
