"""The plane through the trained parameters: its directions, measured and checked."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import (
    Direction,
    count_zero_filters,
    direction_sha256,
    random_direction,
)
from losscape_mpi.geometry.direction_file import file_direction
from losscape_mpi.geometry.gaussian import ALGORITHM
from losscape_mpi.geometry.measure import measure_directions
from losscape_mpi.study.plane_config import PlaneConfig

logger = logging.getLogger(__name__)

AXES = ("alpha", "beta")
MAX_COSINE = 0.5  # two draws from [0, 1) instead of Gaussians have 0.75
PARALLEL_COSINE = 0.99  # beyond it a plane is a line


@dataclass(frozen=True, eq=False)
class Plane:
    """The directions that span theta(alpha, beta) = center + alpha d_alpha + beta d_beta.

    Attributes:
        directions: By axis name, alpha first; only alpha for a 1-D profile.
        record: Recipe and measured geometry as plain JSON values.
    """

    directions: dict[str, Direction]
    record: dict[str, Any]


def make_plane(
    config: PlaneConfig,
    num_axes: int,
    center: dict[str, Tensor],
    *,
    transposed: frozenset[str] = frozenset(),
    arrays: dict[str, list[np.ndarray]] | None = None,
) -> Plane:
    """Return the plane that a study asks for.

    Args:
        config: The study's plane.
        num_axes: 1 for a profile, 2 for a surface.
        center: The trained parameters in the order of `named_parameters()`; those that are not
            floating stay out of the directions.
        transposed: Names of transposed convolutions' weights, see `transposed_parameters`.
        arrays: Content of the direction file by axis name, for kind file.

    Raises:
        UserError: If the file does not fit the network, or a direction is zero, not finite or
            too close to the other one.
    """
    weights = {
        name: tensor.detach().to("cpu", torch.float64).numpy()
        for name, tensor in center.items()
        if tensor.is_floating_point()
    }
    _check_center(weights)
    axes = AXES[:num_axes]
    if config.kind == "file":
        if arrays is None:
            raise ValueError("kind file needs the arrays of the direction file")
        directions = _file_directions(config, axes, weights, arrays)
    else:
        directions = {axis: random_direction(config, axis, weights, transposed) for axis in axes}
    _check_directions(directions)
    measured = measure_directions(directions, weights)
    _check_angle(measured["cosine"], config)
    return Plane(directions, _recipe(config, directions, weights, transposed) | measured)


def _file_directions(
    config: PlaneConfig,
    axes: tuple[str, ...],
    weights: dict[str, np.ndarray],
    arrays: dict[str, list[np.ndarray]],
) -> dict[str, Direction]:
    if missing := [axis for axis in axes if axis not in arrays]:
        raise UserError(
            f"{config.path}: found no direction for {missing[0]}, expected one for each axis of "
            "the grid: set grid.beta to null or take a file with two directions"
        )
    return {axis: file_direction(arrays[axis], weights, f"{config.path} ({axis})") for axis in axes}


def _recipe(
    config: PlaneConfig,
    directions: dict[str, Direction],
    weights: dict[str, np.ndarray],
    transposed: frozenset[str],
) -> dict[str, Any]:
    drawn = config.kind == "random"  # a file's own recipe is not known
    num_zero = count_zero_filters(weights, config.ignore if drawn else "biasbn", transposed)
    return {
        "algorithm": ALGORITHM,
        "kind": config.kind,
        "normalize": config.normalize if drawn else None,
        "ignore": config.ignore if drawn else None,
        "seed": config.seed if drawn else None,
        "orthonormalized": False if drawn else None,
        "zero_filters": dict.fromkeys(directions, num_zero),
        "sha256": {axis: direction_sha256(direction) for axis, direction in directions.items()},
    }


def _check_center(weights: dict[str, np.ndarray]) -> None:
    for name, weight in weights.items():
        if not np.isfinite(weight).all():
            raise UserError(
                f"the trained parameter {name} holds NaN or infinity, expected finite numbers: "
                "choose another checkpoint"
            )


def _check_directions(directions: dict[str, Direction]) -> None:
    """Refuse directions that lead nowhere or out of the numbers."""
    for axis, direction in directions.items():
        if bad := [name for name, tensor in direction.items() if not tensor.isfinite().all()]:
            raise UserError(
                f"direction {axis} holds NaN, infinity or numbers above 3e38 in {bad[0]}, expected "
                "finite numbers: check the checkpoint's weights or the direction file"
            )
        if not any(tensor.any() for tensor in direction.values()):
            raise UserError(
                f"direction {axis} is 0 everywhere, expected a length above 0: plane.ignore: none "
                "moves biases and norm layers too, weights that are all 0 never move"
            )


def _check_angle(cosine: float | None, config: PlaneConfig) -> None:
    """Refuse two axes that are nearly one; directions from a file may be skew."""
    if cosine is None or abs(cosine) <= MAX_COSINE:
        return
    if config.kind == "random":
        raise UserError(
            f"the two directions have cosine {cosine:.3f}, expected at most {MAX_COSINE} in "
            "absolute value: choose another plane.seed"
        )
    if abs(cosine) > PARALLEL_COSINE:
        raise UserError(
            f"{config.path}: the two directions have cosine {cosine:.6f}, which is a line and no "
            "plane: set grid.beta to null or take another file"
        )
    logger.warning("%s: the two directions are skew, their cosine is %.3f", config.path, cosine)
