"""Which scale shows values best: transform, limits and clipping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.figures.look import Look, ScaleName
from losscape_mpi.figures.number import LARGEST, SMALLEST, is_constant, within_range
from losscape_mpi.figures.scale import Kind, Scale
from losscape_mpi.point.column import Column

LOG_RATIO = 100.0  # maximum over minimum from which the automatic scale is logarithmic
OUTLIER_RATIO = 4.0  # maximum over the 75th percentile; a parabolic bowl has 2, a quartic one 3.3
QUARTILE_RATIO = 10.0  # from one quartile to the next: 1.2 on ResNet-56's surface, 20 on chaos
SHADES = 32  # about as many heights as an eye tells apart
CLEARLY_MORE = 0.25  # bits of the shades' entropy; 0.7 on ResNet-56 with and without shortcuts
SYMLOG_DECADES = (6, 2)  # of one sign, of both signs: below the largest size, then linear


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
    _check_limits([] if limits is None else limits, "--limits")
    _check_limits([] if clip is None or np.isinf(clip) else [clip], "--clip")
    values = within_range(values)
    if limits is not None:
        return _fixed_scale(values, kind, limits, bounded)
    if len(values) == 0:
        return Scale("linear", 0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if is_constant(values):
        return Scale("linear", low, low)
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


def panel_scale_of(every: Sequence[np.ndarray], column: Column, look: Look) -> Scale:
    """Return the one scale of several surfaces side by side.

    As `scale_of` for all their values; but where that is logarithmic unasked, a linear scale,
    clipped as a linear one is, goes before it if it tells clearly more of the surfaces.

    Args:
        every: The finite values of each surface, flat.
        column: What the values are.
        look: Scale, clipping, limits and levels.

    Raises:
        UserError: If the wishes leave nothing to see.
    """
    together = np.concatenate(every)
    scale = scale_of(together, column, look)
    if look.scale != "auto" or look.limits is not None or scale.kind != "log":
        return scale
    linear = scale_of(together, column, replace(look, scale="linear"))
    parts = [values for values in every if len(values)]
    gain = [told_bits(values, linear) - told_bits(values, scale) for values in parts]
    return linear if np.mean(gain) > CLEARLY_MORE else scale


def told_bits(values: np.ndarray, scale: Scale) -> float:
    """Return how much the shades of values tell: the entropy of their use, in bits.

    It is 0 where all values have one shade, and 5 where each of 32 shades is used as often.

    Args:
        values: Finite, flat, at least one.
        scale: Transform and limits.
    """
    low, high = scale.limits
    used, _ = np.histogram(scale.heights(values), SHADES, (low, high))
    share = used[used > 0] / len(values)
    return float(-(share * np.log2(share)).sum())


def _check_limits(limits: Sequence[float], option: str) -> None:
    ends = np.array(limits, dtype=np.float64)
    if not np.array_equal(ends, within_range(ends)) or (len(ends) == 2 and is_constant(ends)):
        found = ",".join(f"{end:g}" for end in ends)
        raise UserError(
            f"found {option} {found}, expected sizes from {SMALLEST:g} to {LARGEST:g}, "
            "and ends that differ"
        )


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
