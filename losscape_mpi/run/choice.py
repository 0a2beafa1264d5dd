"""Which points are computed a second time before a file is called complete."""

from __future__ import annotations

import math

import numpy as np

from losscape_mpi.problem.data.split import seeded_bits
from losscape_mpi.study.places import Places

SHARE, FEWEST = 0.01, 3
ENDS = 4  # one of so many is among the first, one among the last that are computed


def chosen_points(places: Places, fingerprint: str) -> np.ndarray:
    """Return the flat indices of 1 % of the points, 3 at least, rising.

    The center, the first and the last in the order of computation, others by chance: a network
    that changes in the course of a run has other values at the first of them. The same for every
    run of a study.

    Args:
        places: The points of the study.
        fingerprint: Of the study, which seeds the chance.
    """
    order = places.coarse_to_fine()
    count = min(len(order), max(FEWEST, math.ceil(SHARE * len(order))))
    ends = max(1, count // ENDS)
    bits = seeded_bits(0, f"recheck/{fingerprint}").random_raw(len(order))
    by_chance = np.argsort(bits, kind="stable")
    always = [*order[:ends], *order[-ends:], *_center(places)]
    wanted = list(dict.fromkeys(int(k) for k in (*always, *by_chance[:count])))
    return np.sort(np.array(wanted[: max(count, len(set(always)))], dtype=np.int64))


def _center(places: Places) -> np.ndarray:
    """Return the flat index of the point whose coordinates are all 0, if there is one."""
    if not {"alpha", "beta"} >= set(places.axes):
        return np.zeros(0, dtype=np.int64)
    axes = np.meshgrid(*places.axes.values(), indexing="ij")
    return np.flatnonzero(np.all([axis == 0 for axis in axes], axis=0))
