"""Means and standard errors of per-sample values, in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums and squared deviations over the samples of one split.

    Attributes:
        count: Number of samples.
        total: Sums, float64 on the device.
        deviation: Sums of squared deviations from the mean, like total.
    """

    count: int
    total: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, values: Tensor) -> Sums:
        """Return the sums over the last axis of per-sample values, float64 of shape (..., m).

        Two passes: no cancellation. How the samples were batched does not enter.
        """
        count = values.shape[-1]
        total = values.sum(dim=-1)
        deviation = (values - (total / count)[..., None]).square_().sum(dim=-1)
        return cls(count, total, deviation)


def mean_and_error(
    total: np.ndarray, deviation: np.ndarray, count: int, available: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return means over samples and their standard errors as estimates for the whole split.

    s / sqrt(n) * sqrt(1 - n/m) for n of m samples drawn without replacement: 0 when all
    samples are used, NaN for a single one of several, NaN for a mean that is not finite.

    Args:
        total: Sums, any shape.
        deviation: Sums of squared deviations, same shape.
        count: Samples used (n).
        available: Samples that the whole split has (m).
    """
    mean = total / count
    if count == available:
        return mean, np.where(np.isfinite(total), 0.0, math.nan)
    if count < 2:
        return mean, np.full_like(mean, math.nan)
    variance = deviation / (count - 1)
    return mean, np.sqrt(variance / count * (1 - count / available))
