"""How values become heights and colours: linear, logarithmic or both, its limits and its levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from losscape_mpi.figures.look import Levels

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


def number_text(value: float) -> str:
    """Return a level as text: plain digits where they are short, else a power of ten."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")
    mantissa, exponent = f"{value:.2e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    factor = {"1": "", "-1": "-"}.get(mantissa, rf"{mantissa}\times")
    return rf"${factor}10^{{{int(exponent)}}}$"


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
