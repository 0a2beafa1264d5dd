"""Lengths and angles of directions, in float64 and in a fixed order of summation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from losscape_mpi.geometry.direction import Direction
from losscape_mpi.geometry.normalize import dot


def measure_directions(
    directions: dict[str, Direction], center: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Return lengths and angles of directions as plain JSON values.

    Args:
        directions: One or two directions by axis name, as they are stored (float32).
        center: The trained floating parameters, float64.

    Returns:
        `norms` by axis, `center_norm`, `cosine` of the two directions (None for one), each
        direction's `cosine_center` with the parameters (None where these are all 0), `gram` (the
        matrix of inner products) and `tensor_norms` by axis and parameter name.
    """
    axes = list(directions)
    vectors = {
        axis: {name: tensor.numpy().astype(np.float64) for name, tensor in direction.items()}
        for axis, direction in directions.items()
    }
    gram = [[_inner(vectors[a], vectors[b]) for b in axes] for a in axes]
    norms = {axis: math.sqrt(gram[i][i]) for i, axis in enumerate(axes)}
    center_norm = math.sqrt(_inner(center, center))
    return {
        "norms": norms,
        "center_norm": center_norm,
        "cosine": _cosine(gram[0][1], *norms.values()) if len(axes) == 2 else None,
        "cosine_center": {
            axis: _cosine(_inner(vectors[axis], center), norms[axis], center_norm) for axis in axes
        },
        "gram": gram,
        "tensor_norms": {
            axis: {name: math.sqrt(dot(array, array)) for name, array in vectors[axis].items()}
            for axis in axes
        },
    }


def _inner(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> float:
    return math.fsum(dot(first[name], second[name]) for name in first)


def _cosine(inner: float, first_norm: float, second_norm: float) -> float | None:
    length = first_norm * second_norm
    return inner / length if length > 0 else None
