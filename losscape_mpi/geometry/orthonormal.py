"""One plane in several coordinate systems.

For directions A = U R with orthonormal U the plane theta* + A x is theta* + U (R x): the same
points under other coordinates, and no new evidence.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import Direction, Directions

View = Literal["qr", "lowdin", "svd"]


def coordinates(gram: np.ndarray, view: View = "qr") -> np.ndarray:
    """Return R, (k, k), of A = U R with orthonormal U: the point x lies at R x in the axes U.

    Args:
        gram: A'A, the inner products of linearly independent directions, shape (k, k).
        view: qr: R upper triangular, so that the first axis keeps its direction; lowdin: R
            symmetric, the axes nearest to A; svd: the principal axes, longest first.

    Raises:
        UserError: If the directions are not linearly independent.
    """
    values, vectors = np.linalg.eigh(_scaled(gram))
    if not values[0] > 0:
        raise UserError(
            "the directions cannot be made orthonormal: found them linearly dependent, expected a "
            "plane: take other directions or set grid.beta to null"
        )
    if view == "qr":
        return np.asarray(np.linalg.cholesky(gram).T)
    values, vectors = np.linalg.eigh(gram)
    lengths = np.sqrt(values)
    if view == "lowdin":
        return np.asarray((vectors * lengths) @ vectors.T)
    return np.asarray((lengths[:, None] * vectors.T)[::-1])


def change_axes(directions: Directions, matrix: np.ndarray) -> dict[str, Direction]:
    """Return the directions A R^-1 by the same axis names, computed in float64.

    Args:
        directions: A, by axis name.
        matrix: R, (k, k), see `coordinates`.
    """
    inverse = np.linalg.inv(matrix)
    is_wide = any(t.dtype == torch.float64 for d in directions.values() for t in d.values())
    # A buffer may be moved by one of the axes alone.
    names = dict.fromkeys(name for direction in directions.values() for name in direction)
    return {
        axis: {name: _combination(directions, name, inverse[:, column], is_wide) for name in names}
        for column, axis in enumerate(directions)
    }


def _combination(directions: Directions, name: str, weights: np.ndarray, is_wide: bool) -> Tensor:
    parts = [
        weight * direction[name].double()
        for weight, direction in zip(weights.tolist(), directions.values(), strict=True)
        if name in direction
    ]
    total = torch.stack(parts).sum(dim=0)
    return total if is_wide else total.float()


def _scaled(gram: np.ndarray) -> np.ndarray:
    """Return the matrix of cosines: lengths are no matter of dependence."""
    lengths = np.sqrt(np.diag(gram))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(gram / np.outer(lengths, lengths))
