"""The lattice of plane coordinates and the order in which its points are visited."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from losscape_mpi.study.config import GridConfig


@dataclass(frozen=True, eq=False)
class Grid:
    """Plane coordinates: axis 0 is alpha, axis 1 is beta, flat index = i * num_beta + j.

    Attributes:
        alpha: Coordinates of axis 0, float64 of shape (num_alpha,).
        beta: Coordinates of axis 1, float64 of shape (num_beta,); [0.] for a 1-D profile.
    """

    alpha: np.ndarray
    beta: np.ndarray

    @classmethod
    def from_config(cls, config: GridConfig) -> Grid:
        """Return the grid that a study asks for."""
        beta = np.zeros(1) if config.beta is None else axis(*config.beta)
        return cls(axis(*config.alpha), beta)

    @property
    def shape(self) -> tuple[int, int]:
        """(num_alpha, num_beta)."""
        return len(self.alpha), len(self.beta)

    @property
    def size(self) -> int:
        """Number of points."""
        return len(self.alpha) * len(self.beta)

    def point(self, index: int) -> tuple[float, float]:
        """Return (alpha, beta) of a flat index."""
        i, j = divmod(int(index), len(self.beta))
        return float(self.alpha[i]), float(self.beta[j])

    @property
    def axes(self) -> dict[str, np.ndarray]:
        """Coordinates by axis name."""
        return {"alpha": self.alpha, "beta": self.beta}

    def coarse_to_fine(self) -> np.ndarray:
        """Return all flat indices, shape (size,), such that every prefix is a coarser picture."""
        of_alpha, of_beta = (refinement_levels(len(each)) for each in (self.alpha, self.beta))
        level = np.maximum(of_alpha[:, None], of_beta[None, :])
        return np.argsort(level.ravel(), kind="stable").astype(np.int64)


def axis(low: float, high: float, num: int) -> np.ndarray:
    """Return `num` coordinates from low to high, each correctly rounded, shape (num,).

    Exact rational arithmetic on the decimals that the user wrote, so that -1..1 holds 0.0
    itself and -1.2..1.2 holds 0.3 itself, which linspace does not promise.
    """
    if num == 1:
        return np.array([low], dtype=np.float64)
    start, stop = Fraction(repr(float(low))), Fraction(repr(float(high)))
    step = (stop - start) / (num - 1)
    return np.array([float(start + step * i) for i in range(num)], dtype=np.float64)


def refinement_levels(num: int) -> np.ndarray:
    """Return the refinement level of each index: 0 for ends and middle, then halved strides."""
    level = np.full(num, -1, dtype=np.int64)
    level[[0, num // 2, num - 1]] = 0
    stride, depth = 1 << max(num - 1, 1).bit_length() - 1, 0
    while (level < 0).any():
        stride, depth = max(stride // 2, 1), depth + 1
        # Counted from the middle, so that a symmetric axis is refined symmetrically.
        due = (np.abs(np.arange(num) - num // 2) % stride == 0) & (level < 0)
        level[due] = depth
    return level
