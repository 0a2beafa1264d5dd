"""Lengths and angles of directions, in float64 and in a fixed order of summation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from losscape_mpi.geometry.direction import Directions
from losscape_mpi.geometry.normalize import dot


def measure_directions(directions: Directions, center: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return lengths and angles of directions as plain JSON values.

    Buffers that a direction moves have a norm of their own in `tensor_norms`; all other numbers
    are those of the parameters.

    Args:
        directions: One or two directions by axis name, as they are stored.
        center: The trained floating parameters, float64.

    Returns:
        `norms` by axis, `center_norm`, `cosine` of the two directions (None for one, or where one
        of them moves no parameter), each direction's `cosine_center` with the parameters (None
        where these are all 0), `gram` (the matrix of inner products) and `tensor_norms` by axis
        and name.
    """
    axes = list(directions)
    vectors = {
        axis: {name: tensor.numpy().astype(np.float64) for name, tensor in direction.items()}
        for axis, direction in directions.items()
    }
    gram = [[_inner(vectors[a], vectors[b], center) for b in axes] for a in axes]
    norms = {axis: math.sqrt(gram[i][i]) for i, axis in enumerate(axes)}
    center_norm = math.sqrt(_inner(center, center, center))
    cosine_center = {
        axis: _cosine(_inner(vectors[axis], center, center), norms[axis], center_norm)
        for axis in axes
    }
    return {
        "norms": norms,
        "center_norm": center_norm,
        "cosine": _cosine(gram[0][1], *norms.values()) if len(axes) == 2 else None,
        "cosine_center": cosine_center,
        "gram": gram,
        "tensor_norms": {
            axis: {name: math.sqrt(dot(array, array)) for name, array in vectors[axis].items()}
            for axis in axes
        },
    }


def _inner(
    first: dict[str, np.ndarray], second: dict[str, np.ndarray], names: dict[str, np.ndarray]
) -> float:
    return math.fsum(dot(first[name], second[name]) for name in names)


def _cosine(inner: float, first_norm: float, second_norm: float) -> float | None:
    length = first_norm * second_norm
    return inner / length if length > 0 else None
