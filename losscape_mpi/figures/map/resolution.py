"""Where contours say more than the samples do: neighbouring lines closer than 2 standard errors.

A value between two lines is known to ± 2 SE. Where the lines are closer than that, which side of
a line the point lies on is chance, and the figure greys the band.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from losscape_mpi.figures.field import Field
from losscape_mpi.figures.map.refinement import (
    interpolated,
    num_parts,
    refined,
    refined_axis,
)
from losscape_mpi.figures.scale import Scale

NUM_ERRORS = 2.0
# The hatch tells it from a grey map.
STYLE: dict[str, Any] = {"facecolor": "0.6", "alpha": 0.65, "hatch": "|||||", "edgecolor": "0.35"}
SMALLEST_SHARE = 5e-4  # of the area: less is no band that a reader would see


def unresolved(field: Field, scale: Scale) -> np.ndarray:
    """Return where neighbouring lines are closer than 2 standard errors.

    Values are interpolated as the lines are (`refinement`); errors linearly.

    Returns:
        Mask on a finer grid that `finer` gives the coordinates of; all False where the field
        has no standard errors or fewer than two lines.
    """
    lines = scale.lines
    parts = num_parts(len(field.alpha)), num_parts(len(field.beta))
    if field.stderr is None or len(lines) < 2 or field.blocks is not None:
        return np.zeros((len(finer(field.alpha)), len(finer(field.beta))), dtype=bool)
    heights = refined(scale.forward(field.values), field.alpha, field.beta, parts)
    errors = np.where(np.isfinite(field.values + field.stderr), field.stderr, np.nan)
    errors = _refined_errors(errors, scale, parts)
    above = np.searchsorted(scale.forward(np.array(lines)), heights, side="right")
    between = (above > 0) & (above < len(lines))  # NaN comes last
    gap = np.diff(lines)[np.clip(above - 1, 0, len(lines) - 2)]
    with np.errstate(invalid="ignore"):
        return between & (gap < NUM_ERRORS * errors)


def finer(axis: np.ndarray) -> np.ndarray:
    """Return the coordinates of an axis with the points that `unresolved` adds."""
    return refined_axis(axis, num_parts(len(axis)))


def draw_unresolved(axes: Axes, field: Field, scale: Scale) -> None:
    """Lay a grey veil over what the lines do not resolve; nothing without standard errors."""
    mask = unresolved(field, scale)
    if mask.mean() < SMALLEST_SHARE:
        return
    veil = axes.contourf(
        finer(field.alpha),
        finer(field.beta),
        mask.T.astype(float),
        levels=[0.5, 1.5],
        hatches=[STYLE["hatch"]],
        colors=[STYLE["facecolor"]],
        alpha=STYLE["alpha"],
        zorder=2.4,
    )
    veil.set_edgecolor(STYLE["edgecolor"])
    veil.set_linewidth(0)


def unresolved_legend(field: Field, scale: Scale) -> list[Patch]:
    """Return the legend entry of the grey veil with its share of the area, if there is one."""
    share = float(unresolved(field, scale).mean())
    if share < SMALLEST_SHARE:
        return []
    text = f"lines closer than 2 SE ({100 * share:.2g} % of the area)"
    return [Patch(label=text, linewidth=0, **STYLE)]


def _refined_errors(errors: np.ndarray, scale: Scale, parts: tuple[int, int]) -> np.ndarray:
    """Return the standard errors on the finer grid; on a log scale they follow the values."""
    if scale.kind == "log" and (errors[np.isfinite(errors)] > 0).all():
        return 10 ** interpolated(np.log10(errors), parts)
    return interpolated(errors, parts)
