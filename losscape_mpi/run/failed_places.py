"""The points that a run gave up: where they lie, and when they are tried again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from losscape_mpi.point.status import FAILED
from losscape_mpi.study.places import Places

MOST_NAMED = 8


def named_places(places: Places, indices: Iterable[int]) -> str:
    """Return where points lie as text, such as " at (-1, 0.5), (1, 0.5)"; of many the first."""
    some = sorted(indices)
    if not some:
        return ""
    shape = [len(each) for each in places.axes.values()]
    found = np.stack(np.unravel_index(some[:MOST_NAMED], shape), axis=1).tolist()
    names = [
        ", ".join(f"{c[k]:g}" for c, k in zip(places.axes.values(), each, strict=True))
        for each in found
    ]
    rest = f" and {len(some) - MOST_NAMED} more" if len(some) > MOST_NAMED else ""
    return f" at {', '.join(f'({name})' for name in names)}{rest}"


def untried_first(points: np.ndarray, status: np.ndarray) -> np.ndarray:
    """Return points in their order, those behind all others that failed in an earlier run."""
    return points[np.argsort(status.ravel()[points] == FAILED, kind="stable")]
