"""The two-level estimator: a cheap value of all samples, corrected by a costly one of some.

The samples that are corrected are chosen anew at every point, in two strata:

* for certain: those with the largest cheap losses, which carry nearly all of the error near a
  minimum, and those with the smallest cheap margins, which rounding can turn into another hit;
* at random: a fixed draw from the others, which estimates their mean difference without bias.

mean = (sum_all(low) + sum_certain(high - low) + (m - c) mean_random(high - low)) / m. A stratum
that is taken whole has no sampling error (Cochran 1977, Sampling Techniques, section 5.8); the
two levels are those of Giles 2008 (multilevel Monte Carlo).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

CERTAIN_SHARE = 0.5  # of the chosen samples; the others are drawn


@dataclass(frozen=True, eq=False)
class Strata:
    """The samples whose costly values are computed at a point.

    Attributes:
        certain: Indices, ascending, int64 of shape (c,).
        drawn: Indices of others, ascending, int64 of shape (r,).
    """

    certain: np.ndarray
    drawn: np.ndarray

    @property
    def samples(self) -> np.ndarray:
        """All chosen indices, the certain ones first, shape (c + r,)."""
        return np.concatenate([self.certain, self.drawn])


def choose_strata(low: Mapping[str, np.ndarray], keys: np.ndarray, count: int) -> Strata:
    """Return `count` samples of a split: half of them for certain, half drawn from the rest.

    Args:
        low: Cheap values by name, finite, each of shape (m,): the largest of `loss` and the
            smallest of `margin` are taken for certain, in equal numbers.
        keys: Places of the samples in a random order, 0 to m - 1, the same at every point.
        count: At most m.
    """
    rankings = [low["margin"]] if "margin" in low else []
    rankings += [-low["loss"]] if "loss" in low else []
    is_taken = np.zeros(len(keys), dtype=bool)
    for ranking in rankings:
        order = np.argsort(np.where(is_taken, np.inf, ranking), kind="stable")
        is_taken[order[: int(CERTAIN_SHARE * count) // len(rankings)]] = True
    certain = np.flatnonzero(is_taken)
    rest = np.argsort(np.where(is_taken, len(keys), keys), kind="stable")
    return Strata(certain, np.sort(rest[: count - len(certain)]))


def corrected_mean(
    low: np.ndarray, high: np.ndarray, strata: Strata, *, is_hit: bool = False
) -> tuple[float, float]:
    """Return the estimate of the costly values' mean over all samples, and its standard error.

    Args:
        low: Cheap values of all samples, shape (m,).
        high: Costly values of `strata.samples`, in their order.
        strata: Which samples these are.
        is_hit: Whether values are 0 or 1. Flips between the two are so rare that none among the
            drawn samples does not mean that there are none: their rate is taken as
            (flips + 1)/(r + 2) (the rule of succession), so that the error is never 0.

    Returns:
        (m - c)/m s_r(high - low)/sqrt(r) sqrt(1 - r/(m - c)) is the error; 0 if no sample is left
        that was not computed, NaN for a single drawn one of several.
    """
    low = np.asarray(low, dtype=np.float64)
    apart = np.asarray(high, dtype=np.float64) - low[strata.samples]
    known, drawn = apart[: len(strata.certain)], apart[len(strata.certain) :]
    rest, count = len(low) - len(known), len(drawn)
    if count == rest:
        return (float(low.sum()) + float(apart.sum())) / len(low), 0.0
    total = float(low.sum()) + float(known.sum()) + rest * float(drawn.mean())
    if is_hit:
        variance = float((np.count_nonzero(drawn) + 1) / (count + 2))
    else:
        variance = float(drawn.var(ddof=1)) if count > 1 else math.nan
    error = rest / len(low) * math.sqrt(variance / count * (1 - count / rest))
    return total / len(low), error
