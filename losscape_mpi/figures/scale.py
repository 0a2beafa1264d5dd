"""How values become heights and colours: linear, logarithmic or both, its limits and its levels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from losscape_mpi.errors import UserError
from losscape_mpi.figures.look import Levels, Look, ScaleName
from losscape_mpi.point.column import Column

LOG_RATIO = 100.0  # maximum over minimum from which the automatic scale is logarithmic
OUTLIER_RATIO = 4.0  # maximum over the 75th percentile; a parabolic bowl has 2, a quartic one 3.3
QUARTILE_RATIO = 10.0  # from one quartile to the next: 1.2 on ResNet-56's surface, 20 on chaos
SYMLOG_DECADES = (6, 2)  # of one sign, of both signs: below the largest size, then linear
NUM_LINES = 12
Kind = Literal["linear", "log", "symlog"]
Extend = Literal["neither", "min", "max", "both"]


@dataclass(frozen=True)
class Scale:
    """A transform of values with the limits that a figure shows.

    Attributes:
        kind: linear; log (base 10); symlog: logarithmic on both sides of zero.
        low: Smallest value shown.
        high: Largest value shown; larger ones are drawn as this one.
        is_clipped: Whether values above `high` exist.
        threshold: symlog only: linear within ± this.
        is_cut: Whether values below `low` exist; they are drawn as `low`.
        chosen: About how many contour lines, or their values.
    """

    kind: Kind
    low: float
    high: float
    is_clipped: bool = False
    threshold: float = 1.0
    is_cut: bool = False
    chosen: Levels = NUM_LINES

    @property
    def note(self) -> str:
        """What an axis label must say about the transform; empty for a plain linear scale."""
        parts = {"linear": [], "log": ["log scale"], "symlog": [self._symlog_note]}[self.kind]
        ends = [number_text(self.low)] * self.is_cut + [number_text(self.high)] * self.is_clipped
        return ", ".join([*parts, *(["clipped at " + " and ".join(ends)] if ends else [])])

    @property
    def extend(self) -> Extend:
        """Which ends of a colour bar stand for values beyond them."""
        names: dict[tuple[bool, bool], Extend]
        names = {(False, False): "neither", (True, False): "min", (False, True): "max"}
        return names.get((self.is_cut, self.is_clipped), "both")

    @property
    def lines(self) -> list[float]:
        """The values of the contour lines, ascending."""
        if isinstance(self.chosen, int):
            return self.levels(self.chosen)
        return [level for level in self.chosen if self.low <= level <= self.high]

    @property
    def limits(self) -> tuple[float, float]:
        """The limits of heights and colours, in transformed values; never the same twice."""
        low, high = self.forward(np.array([self.low, self.high])).tolist()
        pad = 0.0 if high > low else 0.5
        return low - pad, high + pad

    @property
    def norm(self) -> Normalize:
        """The colour limits as matplotlib wants them."""
        return Normalize(*self.limits)

    @property
    def _symlog_note(self) -> str:
        return f"symmetric log scale, linear within ±{number_text(self.threshold)}"

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Return the transformed values; NaN stays NaN."""
        values = np.asarray(values, dtype=np.float64)
        if self.kind == "log":
            return np.log10(np.maximum(values, self.low / 1000))  # a cut value may be 0
        if self.kind == "symlog":
            return np.sign(values) * np.log10(1 + np.abs(values) / self.threshold)
        return values

    def heights(self, values: np.ndarray) -> np.ndarray:
        """Return the transformed values, those beyond the limits at the limits; NaN stays NaN."""
        return self.forward(np.clip(values, self.low, self.high))

    def levels(self, num: int) -> list[float]:
        """Return at most about `num` round values between the limits, ends included."""
        if self.low == self.high:
            return [self.low]
        if self.kind == "linear" or (self.kind == "log" and self.high < 10 * self.low):
            ticks = MaxNLocator(num, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        else:
            ticks = _log_levels(self, num)
        return [float(tick) for tick in ticks if self.low <= tick <= self.high]


def scale_of(values: np.ndarray, column: Column, look: Look) -> Scale:
    """Return the scale of all values of a column that share a figure, as a user wants it.

    Args:
        values: All finite values, flat; may be empty.
        column: What the values are.
        look: Scale, clipping, limits and levels.

    Raises:
        UserError: If the wishes leave nothing to see.
    """
    scale = choose_scale(values, look.scale, look.clip, column.is_share, look.limits)
    if look.levels is None or scale.low == scale.high:
        return scale
    scale = replace(scale, chosen=look.levels)
    if not scale.lines:
        raise UserError(
            f"found --levels without one between {scale.low:g} and {scale.high:g}, the values "
            f"of {column.name}; expected at least one"
        )
    return scale


def choose_scale(
    values: np.ndarray,
    kind: ScaleName = "auto",
    clip: float | None = None,
    bounded: bool = False,
    limits: tuple[float, float] | None = None,
) -> Scale:
    """Return the scale that shows the given values best.

    Args:
        values: All finite values of the figure, flat; may be empty.
        kind: auto takes log for positive values that span more than a factor of 100.
        clip: Largest value shown; None clips only what would hide the rest on a linear scale.
        bounded: Whether the values lie in [0, 1] by definition, such as an accuracy.
        limits: Smallest and largest value shown; clip is not asked for then.

    Raises:
        UserError: If clip leaves nothing to see.
    """
    if limits is not None:
        return _fixed_scale(values, kind, limits, bounded)
    if len(values) == 0:
        return Scale("linear", 0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if low == high:
        return Scale("linear", low, high)
    if clip is not None and clip <= low:
        raise UserError(
            f"found --clip {clip:g} below the smallest value {low:g}; expected a larger clip"
        )
    name = _resolved(kind, low, high, bounded)
    if clip is None and name == "linear" and not bounded:
        clip = _bulk_limit(values, low, high)
    is_clipped = clip is not None and clip < high
    top = clip if clip is not None and is_clipped else high
    return Scale(name, low, top, is_clipped, _threshold(values))


def _fixed_scale(
    values: np.ndarray, kind: ScaleName, limits: tuple[float, float], bounded: bool
) -> Scale:
    low, high = limits
    threshold = _threshold(np.array([*values[(values >= low) & (values <= high)], low, high]))
    is_clipped = len(values) > 0 and bool(values.max() > high)
    is_cut = len(values) > 0 and bool(values.min() < low)
    return Scale(_resolved(kind, low, high, bounded), low, high, is_clipped, threshold, is_cut)


def _resolved(kind: ScaleName, low: float, high: float, bounded: bool) -> Kind:
    if kind == "auto":
        return "log" if not bounded and low > 0 and high > LOG_RATIO * low else "linear"
    return "symlog" if kind == "log" and low <= 0 else kind


def number_text(value: float) -> str:
    """Return a level as text: plain digits where they are short, else a power of ten."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")
    mantissa, exponent = f"{value:.2e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    factor = {"1": "", "-1": "-"}.get(mantissa, rf"{mantissa}\times")
    return rf"${factor}10^{{{int(exponent)}}}$"


def _bulk_limit(values: np.ndarray, low: float, high: float) -> float | None:
    """Return a round limit at twice the bulk of the values if the maximum lies far above it.

    The bulk is the third quartile; a lower one where the values fall by a large factor from
    quartile to quartile, as on the surface of an untrainable network.
    """
    first, median, third = np.percentile(values, [25, 50, 75]) - low
    bulk = float(third)
    for lower in (median, first):
        if not 0 < lower < bulk / QUARTILE_RATIO:
            break
        bulk = float(lower)
    if bulk == 0 or high - low <= OUTLIER_RATIO * bulk:
        return None
    unit = 10.0 ** np.floor(np.log10(2 * bulk))
    return float(np.round((low + 2 * bulk) / unit) * unit)


def _threshold(values: np.ndarray) -> float:
    size = np.abs(values[values != 0])
    if len(size) == 0:
        return 1.0
    has_both_signs = values.min() < 0 < values.max()
    smallest = max(size.min(), size.max() / 10 ** SYMLOG_DECADES[int(has_both_signs)])
    return float(10.0 ** np.floor(np.log10(smallest)))


def _log_levels(scale: Scale, num: int) -> list[float]:
    largest = max(abs(scale.low), abs(scale.high))
    smallest = scale.low if scale.kind == "log" else scale.threshold
    first, last = int(np.floor(np.log10(smallest))), int(np.ceil(np.log10(largest)))
    choices = [((1, 1.5, 2, 3, 5, 7), 1), ((1, 2, 5), 1), ((1, 3), 1)]
    choices += [((1,), step) for step in range(1, last - first + 2)]
    for factors, step in choices:
        decades = range(first - first % step, last + 1, step)
        ticks = [factor * 10.0**decade for decade in decades for factor in factors]
        if scale.kind == "symlog":
            ticks = sorted([*(-tick for tick in ticks), 0.0, *ticks])
        if sum(scale.low <= tick <= scale.high for tick in ticks) <= num:
            break
    return ticks
