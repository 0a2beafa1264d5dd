"""The plane through the trained parameters: its directions, measured and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from losscape_mpi.geometry.check import check_angle, check_center, check_directions
from losscape_mpi.geometry.direction import (
    Center,
    Direction,
    Made,
    count_zero_filters,
    direction_sha256,
)
from losscape_mpi.geometry.families.adaptive import adaptive_direction
from losscape_mpi.geometry.families.qr import qr_direction
from losscape_mpi.geometry.families.random import random_direction
from losscape_mpi.geometry.families.svd import svd_direction
from losscape_mpi.geometry.families.zca import zca_direction
from losscape_mpi.geometry.gaussian import ALGORITHM
from losscape_mpi.geometry.measure import measure_directions
from losscape_mpi.geometry.orthonormal import change_axes, coordinates
from losscape_mpi.study.plane_config import AxisConfig, PlaneConfig

AXES = ("alpha", "beta")

Family = Callable[[AxisConfig, str, Center], Made]
Maker = Callable[[AxisConfig, tuple[str, ...]], dict[str, Made]]
"""(settings, the axes that share them) -> their directions by axis."""

FAMILIES: dict[str, Family] = {  # those that need the center alone
    "random": random_direction,
    "adaptive": adaptive_direction,
    "qr": qr_direction,
    "zca": zca_direction,
    "svd": svd_direction,
}


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
    makers: Mapping[str, Maker] | None = None,
) -> Plane:
    """Return the plane that a study asks for.

    Args:
        config: The study's plane.
        num_axes: 1 for a profile, 2 for a surface.
        center: The trained parameters in the order of `named_parameters()`; those that are not
            floating stay out of the directions.
        transposed: Names of transposed convolutions' weights, see `transposed_parameters`.
        makers: What makes the directions of the kinds that need files or data, by kind.

    Raises:
        UserError: If a direction cannot be made, is zero, not finite or too close to the other.
    """
    weights = {
        name: tensor.detach().to("cpu", torch.float64).numpy()
        for name, tensor in center.items()
        if tensor.is_floating_point()
    }
    check_center(weights)
    axes = AXES[:num_axes]
    frame = Center(weights, transposed)
    made = _make(config, axes, frame, makers or {})
    kinds = {axis: made[axis].record["kind"] for axis in axes}
    directions = {axis: made[axis].direction for axis in axes}
    check_directions(directions)
    measured = measure_directions(directions, weights)
    check_angle(measured["cosine"], kinds)
    change = None
    if config.orthonormalize:
        change = coordinates(np.array(measured["gram"]))
        directions = change_axes(directions, change)
        measured = measure_directions(directions, weights)
    recipe = _recipe(made, frame) | {
        "orthonormalized": config.orthonormalize,
        "coordinates": None if change is None else change.tolist(),
        "sha256": {axis: direction_sha256(directions[axis]) for axis in axes},
    }
    return Plane(directions, recipe | measured)


def _make(
    config: PlaneConfig, axes: tuple[str, ...], center: Center, makers: Mapping[str, Maker]
) -> dict[str, Made]:
    made: dict[str, Made] = {}
    for settings, shared in config.groups(axes):
        if settings.kind in FAMILIES:
            family = FAMILIES[settings.kind]
            found = {axis: family(settings, axis, center) for axis in shared}
        else:
            found = makers[settings.kind](settings, shared)
        made |= {
            axis: Made(one.direction, {"kind": settings.kind} | one.record)
            for axis, one in found.items()
        }
    return made


def _recipe(made: dict[str, Made], center: Center) -> dict[str, Any]:
    records = {axis: made[axis].record for axis in sorted(made)}

    def common(key: str) -> Any:
        found = [record.get(key) for record in records.values()]
        return found[0] if all(value == found[0] for value in found) else None

    return {
        "algorithm": ALGORITHM,
        "kind": common("kind") or "mixed",
        **{key: common(key) for key in ("normalize", "ignore", "seed")},
        "axes": records,
        "zero_filters": {
            axis: count_zero_filters(made[axis].direction, center, record.get("ignore") or "biasbn")
            for axis, record in records.items()
        },
    }
