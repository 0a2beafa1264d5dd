"""Where a study looks: how many places there are, their axes, and in which order they matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from losscape_mpi.study.grid import refinement_levels


class Places(Protocol):
    """The places of a study, without what it takes to compute there."""

    @property
    def axes(self) -> dict[str, np.ndarray]:
        """Coordinates by axis name; the product of their lengths is the number of places."""

    @property
    def size(self) -> int:
        """Number of places."""

    def coarse_to_fine(self) -> np.ndarray:
        """Return all flat indices, shape (size,), such that every prefix is a coarser picture."""


@dataclass(frozen=True, eq=False)
class PathPlaces:
    """Checkpoints in the order of training.

    Attributes:
        axis: What their coordinates are: epoch, step or checkpoint.
        coordinates: Rising, shape (t,).
    """

    axis: str
    coordinates: np.ndarray

    @property
    def axes(self) -> dict[str, np.ndarray]:
        """The one axis with its coordinates."""
        return {self.axis: self.coordinates}

    @property
    def size(self) -> int:
        """Number of checkpoints."""
        return len(self.coordinates)

    def coarse_to_fine(self) -> np.ndarray:
        """Return first, middle and last, then ever finer, shape (size,)."""
        return np.argsort(refinement_levels(self.size), kind="stable").astype(np.int64)
