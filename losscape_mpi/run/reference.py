"""The reference row, for a person: what a worker computes before its first point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from losscape_mpi.point.column import Column, values_of


def describe_row(columns: Sequence[Column], row: np.ndarray) -> str:
    """Return the results of a row as text, such as "train/loss 0.5, train/accuracy 0.9"."""
    results = {column.name for column in values_of(columns)}
    shown = [
        f"{column.name} {value:.6g}"
        for column, value in zip(columns, row, strict=True)
        if column.name in results
    ]
    return ", ".join(shown)


def spread(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference between two rows."""
    return float(np.nanmax(np.abs(one - other), initial=0.0))
