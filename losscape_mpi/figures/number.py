"""Numbers that can be drawn: neither too small nor too large to be subtracted and divided."""

from __future__ import annotations

import numpy as np

SMALLEST, LARGEST = 1e-290, 1e290  # sizes: a factor of 1000 and a range of twice it stay finite
SAME = 1e-12  # of the values: a range below it is rounding, and has no levels between its ends


def within_range(values: np.ndarray) -> np.ndarray:
    """Return values as they are drawn: 0 for those next to it, the largest size for huge ones.

    NaN and infinity stay.
    """
    values = np.asarray(values, dtype=np.float64)
    size = np.abs(values)
    is_small, is_huge = (size < SMALLEST) & (size > 0), (size > LARGEST) & (size < np.inf)
    if not (is_small.any() or is_huge.any()):
        return values
    values = np.where(is_small, 0.0, values)
    return np.where(is_huge, np.copysign(LARGEST, values), values)


def is_constant(values: np.ndarray) -> bool:
    """Return whether finite values are the same to rounding; at least one, all within the range."""
    low, high = float(values.min()), float(values.max())
    return high - low <= SAME * max(abs(low), abs(high))
