"""The plane through the trained parameters: its directions, measured and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from losscape_mpi.geometry.check import MAX_COSINE, check_angle, check_center, check_directions
from losscape_mpi.geometry.direction import (
    AXES,
    Center,
    Directions,
    Made,
    count_zero_filters,
    direction_sha256,
    signs_share,
)
from losscape_mpi.geometry.family import family_directions
from losscape_mpi.geometry.gaussian import ALGORITHM
from losscape_mpi.geometry.measure import measure_directions
from losscape_mpi.geometry.orthonormal import change_axes, coordinates
from losscape_mpi.geometry.role import Role, Roles
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.number import as_array, numbers_of
from losscape_mpi.study.plane_config import PlaneConfig


@dataclass(frozen=True, eq=False)
class Plane:
    """The directions that span theta(alpha, beta) = center + alpha d_alpha + beta d_beta.

    Attributes:
        directions: By axis name, alpha first; only alpha for a 1-D profile.
        record: Recipe and measured geometry as plain JSON values.
    """

    directions: Directions
    record: dict[str, Any]


def make_plane(
    config: PlaneConfig,
    num_axes: int,
    center: Mapping[str, Tensor],
    *,
    roles: Roles | None = None,
    problem: Problem | None = None,
) -> Plane:
    """Return the plane that a study asks for.

    Args:
        config: The study's plane.
        num_axes: 1 for a profile, 2 for a surface.
        center: The trained parameters in the order of `named_parameters()`; those that are no
            real or complex numbers stay out of the directions.
        roles: What they are in their layers, see `parameter_roles`; without it vectors are told
            by their dimension.
        problem: Model and data, for the families that are made of them.

    Raises:
        UserError: If a direction cannot be made, is zero, not finite or too close to the other.
    """
    weights = {name: as_array(tensor) for name, tensor in numbers_of(center).items()}
    check_center(weights)
    frame = Center(weights, roles or _complex_roles(center), problem)
    made: dict[str, Made] = {}
    for settings, axes in config.groups(AXES[:num_axes]):
        made |= family_directions(settings, axes, frame)
    ordered = {axis: made[axis] for axis in AXES[:num_axes]}
    return span_plane(ordered, frame, orthonormalize=config.orthonormalize)


def span_plane(made: Mapping[str, Made], center: Center, *, orthonormalize: bool = False) -> Plane:
    """Return the plane of directions that are there, measured and checked.

    Args:
        made: By axis, alpha first; the kind stands in each record.
        center: The trained parameters.
        orthonormalize: Whether the directions are made orthonormal first, alpha keeping its own.

    Raises:
        UserError: If a direction is zero, not finite or too close to the other.
    """
    directions: Directions = {axis: one.direction for axis, one in made.items()}
    check_directions(directions)
    measured = measure_directions(directions, center.weights)
    kinds = {axis: one.record["kind"] for axis, one in made.items()}
    is_skew = abs(measured["cosine"] or 0.0) > MAX_COSINE
    check_angle(measured["cosine"], kinds, signs_share(directions, center) if is_skew else 0.0)
    change = None
    if orthonormalize:
        change = coordinates(np.array(measured["gram"]))
        directions = change_axes(directions, change)
        measured = measure_directions(directions, center.weights)
    recipe = _recipe(made, center) | {
        "orthonormalized": orthonormalize,
        "coordinates": None if change is None else change.tolist(),
        "sha256": {axis: direction_sha256(one) for axis, one in directions.items()},
    }
    return Plane(directions, recipe | measured)


def _complex_roles(center: Mapping[str, Tensor]) -> Roles:
    """Return the roles of complex tensors by their dimension."""
    return {
        name: Role(is_vector=tensor.dim() <= 1, is_complex=True)
        for name, tensor in center.items()
        if tensor.is_complex()
    }


def _recipe(made: Mapping[str, Made], center: Center) -> dict[str, Any]:
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
