"""What the points that are computed a second time say of a file, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from losscape_mpi.point.status import CHOSEN, OTHER, SAME
from losscape_mpi.store.surface import Surface

Axes = Mapping[str, np.ndarray]

MOST_NAMED = 3


@dataclass(frozen=True)
class Verdict:
    """What the second computation of the chosen points gave.

    Attributes:
        same: How many had the same values.
        left: How many have not been computed a second time yet.
        others: Those that had other values, each in words.
    """

    same: int
    left: int
    others: tuple[str, ...]

    @property
    def trouble(self) -> str:
        """What is wrong, in words; "" if nothing is."""
        if not self.others:
            return ""
        more = len(self.others) - MOST_NAMED
        named = "; ".join(self.others[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
        return (
            f"{len(self.others)} of {self.same + len(self.others) + self.left} points had other "
            f"values when they were computed a second time: {named}"
        )


def surface_verdict(surface: Surface) -> Verdict | None:
    """Return the verdict that a file holds; None where it has no points to compute again."""
    if surface.recheck is None:
        return None
    axes = dict(zip(surface.axis_names, (surface.alpha, surface.beta), strict=False))
    others = tuple(place_words(axes, int(k)) for k in surface.marked(OTHER))
    return Verdict(len(surface.marked(SAME)), len(surface.marked(CHOSEN)), others)


def place_words(axes: Axes, index: int) -> str:
    """Return a point in words, such as "point 3 (alpha -1, beta 0.5)"."""
    places = np.unravel_index(index, tuple(len(axis) for axis in axes.values()))
    where = [f"{n} {axis[k]:.6g}" for (n, axis), k in zip(axes.items(), places, strict=True)]
    return f"point {index} ({', '.join(where)})"
