"""Means over all samples, estimated from a few samples and an interpolation between anchors.

The anchors, a coarse subgrid, are evaluated on all m samples; every other point x only on a
subset S of n samples, the same for the whole surface. With p_i(x) = sum_a w_a(x) l_i(a), the
interpolation of sample i between the anchors, P(x) = sum_a w_a(x) L(a) is the mean of all m p_i,
known without any p_i outside of S; mean_S(l_i - p_i) corrects it without bias.

The cross-fitted estimate departs from the usual b_k P + mean_{S_(3-k)}(l - b_k p) in one point:

1. The half S_k that b_k was fitted on is a known part of the m samples: its mean counts with its
   share n_k/m, and the other half stands for the rest alone. So an estimate from a draw without
   replacement has no bias at all, and is the exact mean when n = m.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from losscape_mpi.errors import UserError

MIN_SUBSET = 4  # two samples in each half, the fewest that have a variance


@dataclass(frozen=True, eq=False)
class Subset:
    """The samples on which the points between the anchors are evaluated.

    Attributes:
        samples: Indices into the samples of the split, ascending, int64 of shape (n,).
        halves: Which half of the subset each belongs to, 0 or 1, int64 of shape (n,).
    """

    samples: np.ndarray
    halves: np.ndarray


def draw_subset(bits: np.random.BitGenerator, available: int, count: int) -> Subset:
    """Return `count` of `available` samples, drawn without replacement, in two random halves.

    Args:
        bits: Fresh generator of the subset's seed and split; the samples with the smallest of its
            raw 64-bit keys are taken, so a larger subset holds the smaller one.
        available: Samples that are evaluated at the anchors (m).
        count: Size of the subset (n).

    Raises:
        UserError: If the subset has fewer than 4 samples or more than there are.
    """
    if not MIN_SUBSET <= count <= available:
        raise UserError(
            f"found a subset of {count} samples for the estimator anchors, expected {MIN_SUBSET} "
            f"to {available} (the samples of the split); set another subset size"
        )
    drawn = np.argsort(bits.random_raw(available), kind="stable")[:count]
    order = np.argsort(drawn, kind="stable")
    # The draw's own order is random, so its even and odd places are two random halves.
    return Subset(drawn[order].astype(np.int64), (order % 2).astype(np.int64))


def predict(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the interpolation between anchors, float64, summed anchor by anchor.

    Args:
        weights: Of the stencil's anchors, shape (k,).
        values: At these anchors: their means, shape (k,), which gives P(x) of shape (); or their
            per-sample values on the subset, shape (k, n), which gives p_i(x) of shape (n,).
    """
    total = np.zeros(values.shape[1:], dtype=np.float64)
    for weight, value in zip(weights, values, strict=True):
        total = total + weight * np.asarray(value, dtype=np.float64)
    return total


def needs_full(*values: np.ndarray | float) -> bool:
    """Return whether a point must be evaluated on all samples.

    That is so where anything that its estimate is made of is NaN or infinite: the means and the
    per-sample values at the anchors of its stencil, its own per-sample values, or the estimate.
    """
    return not all(np.isfinite(value).all() for value in values)


def is_uncertain(estimate: float, error: float, tolerance: float) -> bool:
    """Return whether the standard error is above `tolerance` times the estimate's magnitude.

    Such a point is better evaluated on all samples: near a minimum a few samples carry the whole
    loss, and neither a subset nor an interpolation sees them. True for NaN.
    """
    return not error <= tolerance * abs(estimate)


def plain(
    fine: np.ndarray, predicted: np.ndarray, predicted_mean: float, available: int
) -> tuple[float, float]:
    """Return the plain difference estimate P + mean_S(l - p) and its standard error.

    Args:
        fine: Values l_i of the subset at the point, shape (n,).
        predicted: Their predictions p_i, shape (n,).
        predicted_mean: Mean P of the predictions of all samples.
        available: Number of all samples (m).

    Returns:
        An estimate of the mean of all m values l_i, unbiased whatever the predictions are, and
        sd_S(l - p)/sqrt(n) * sqrt(1 - n/m); 0 when n = m, NaN for a single one of several.
    """
    residual = np.asarray(fine, dtype=np.float64) - predicted
    unseen = 1 - len(residual) / available
    error = math.sqrt(_variance(residual) / len(residual) * unseen) if unseen else 0.0
    return predicted_mean + float(residual.mean()), error


def cross_fitted(
    fine: np.ndarray,
    predicted: np.ndarray,
    predicted_mean: float,
    available: int,
    halves: np.ndarray,
) -> tuple[float, float]:
    """Return the cross-fitted difference estimate and its standard error.

    Each half of the subset says how far the predictions are to be trusted in the other half:
    b_k = cov(l, p)/var(p) in half k, kept within 0 (the subset's mean alone) and 1 (the plain
    difference estimate). Where the anchors are of no use, b_k goes to 0 by itself.

    Args:
        fine: Values l_i of the subset at the point, shape (n,), finite (see `needs_full`).
        predicted: Their predictions p_i, shape (n,), finite.
        predicted_mean: Mean P of the predictions of all samples.
        available: Number of all samples (m).
        halves: Half of each sample, 0 or 1, shape (n,), at least two samples in each.

    Returns:
        An unbiased estimate of the mean of all m values l_i (the mean itself when n = m), and
        the root of 1/4 sum_k s^2_(3-k)(l - b_k p)/n_(3-k) * (1 - n/m).
    """
    fine, predicted = np.asarray(fine, np.float64), np.asarray(predicted, np.float64)
    estimate = variance = 0.0
    for k in (0, 1):
        fitted, other = halves == k, halves != k
        slope = _slope(fine[fitted], predicted[fitted])
        residual = fine - slope * predicted
        share = fitted.sum() / available
        mean = share * residual[fitted].mean() + (1 - share) * residual[other].mean()
        estimate += 0.5 * (slope * predicted_mean + float(mean))
        variance += 0.25 * _variance(residual[other]) / int(other.sum())
    return estimate, math.sqrt(variance * (1 - len(fine) / available))


def add_sampling_error(error: float, fine: np.ndarray, samples: int, available: int) -> float:
    """Return the standard error for the whole split, where even the m samples are a draw from it.

    The root of error^2 + s_S^2(l)/m * (1 - m/M): the estimate's distance from the mean of the m
    samples, and that mean's distance from the mean of all M.

    Args:
        error: Standard error of an estimate above.
        fine: Values of the subset at the point, shape (n,).
        samples: Samples evaluated at the anchors (m).
        available: Samples that the whole split has (M).
    """
    spread = _variance(np.asarray(fine, dtype=np.float64))
    outer = spread / samples * (1 - samples / available) if samples < available else 0.0
    return math.sqrt(error**2 + outer)


def _variance(values: np.ndarray) -> float:
    """Return the sample variance, NaN for a single value."""
    if len(values) < 2:
        return math.nan
    return float(((values - values.mean()) ** 2).sum() / (len(values) - 1))


def _slope(fine: np.ndarray, predicted: np.ndarray) -> float:
    """Return cov(l, p)/var(p) within 0 and 1; 0 where the predictions do not vary."""
    centered = predicted - predicted.mean()
    spread = float((centered**2).sum())
    if not 0 < spread < math.inf:
        return 0.0
    product = float((centered * (fine - fine.mean())).sum())
    return min(max(product / spread, 0.0), 1.0)
