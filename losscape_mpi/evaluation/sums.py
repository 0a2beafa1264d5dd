"""Means and standard errors from per-batch sums, in float64 and in a fixed order."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Sums:
    """Count, sum and sum of squared deviations of some per-sample values."""

    count: int = 0
    total: float = 0.0
    deviation: float = 0.0

    @classmethod
    def of(cls, values: Tensor) -> Sums:
        """Return the sums of one batch, values float64 of shape (b,)."""
        total = values.sum()
        deviation = ((values - total / len(values)) ** 2).sum()
        return cls(len(values), float(total), float(deviation))

    def __add__(self, other: Sums) -> Sums:
        """Return the sums of both (Chan, Golub, LeVeque 1979: no cancellation)."""
        if self.count == 0:
            return other
        count = self.count + other.count
        shift = other.total / other.count - self.total / self.count
        between = shift * shift * self.count * other.count / count
        return Sums(count, self.total + other.total, self.deviation + other.deviation + between)

    def mean(self) -> float:
        """Return the mean over samples: one division of the whole sum."""
        return self.total / self.count

    def standard_error(self, available: int) -> float:
        """Return the standard error of the mean as an estimate for the whole split.

        s / sqrt(n) * sqrt(1 - n/m) for n of m samples drawn without replacement: 0 when all
        samples are used, NaN for a single one of several.

        Args:
            available: Samples that the whole split has (m).
        """
        if self.count == available:
            # 0 for finite sums; a NaN or infinite mean has no standard error.
            return 0.0 if math.isfinite(self.total) else math.nan
        if self.count < 2:
            return math.nan
        variance = self.deviation / (self.count - 1)
        return math.sqrt(variance / self.count * (1 - self.count / available))
