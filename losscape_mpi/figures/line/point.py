"""The points of a line: where they lie, and which of them are marked."""

from __future__ import annotations

import numpy as np

from losscape_mpi.figures.field import Field

NUM_MARKERS = 16  # more would hide whether a line is solid or dashed


def marked_points(values: np.ndarray) -> list[int]:
    """Return which points get a marker: evenly spread ones, and those that no line reaches."""
    there = np.isfinite(np.concatenate([[np.nan], values, [np.nan]]))
    alone = there[1:-1] & ~there[:-2] & ~there[2:]
    spread = range(0, len(values), -(-len(values) // NUM_MARKERS))
    return sorted({*spread, *np.flatnonzero(alone).tolist()})


def coordinates(field: Field) -> np.ndarray:
    """Return where a field's points lie along the one axis that has several."""
    return field.beta if len(field.alpha) == 1 < len(field.beta) else field.alpha
