"""A row of values in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from losscape_mpi.point.column import Column, values_of


def described(columns: Sequence[Column], row: np.ndarray) -> str:
    """Return the results of a row as text, such as "train/loss 0.5, train/accuracy 0.9"."""
    results = {column.name for column in values_of(columns)}
    shown = [
        f"{column.name} {value:.6g}"
        for column, value in zip(columns, row, strict=True)
        if column.name in results
    ]
    return ", ".join(shown)


def spread(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference of two rows; infinite where their lengths differ."""
    if one.shape != other.shape:
        return float("inf")
    return float(np.nanmax(np.abs(one - other), initial=0.0))


def other_bits(who: str, one: np.ndarray, other: np.ndarray) -> str:
    """Return the warning that a worker's row at the center is not that of the file, by how much."""
    return (
        f"warning: {who} differs at the center by up to {spread(one, other):.3g} from the first "
        "worker or from the file: the bits of this surface depend on who computes a point"
    )
