"""A first picture of an unfinished surface: what is known so far, joined by planes between it.

The guesses are for lines and shades alone, which are hatched there; `heatmap` shows none of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.tri import LinearTriInterpolator, Triangulation

from losscape_mpi.figures.field import Field
from losscape_mpi.figures.map.blocks import MAX_DOTS
from losscape_mpi.figures.marks import guessed, lonely
from losscape_mpi.figures.scale import Scale

FEWEST = 9  # points that a run computes first: ends and middles


def with_guesses(field: Field, scale: Scale) -> Field:
    """Return a field whose points that are not computed lie on triangles between known points.

    Failed and non-finite points stay missing, and so does what lies outside all known points. A
    field without points to compute, or with too few known ones, is returned as it is.

    Args:
        field: The values.
        scale: On a logarithmic one, logarithms are interpolated.
    """
    pending = field.missing.get("not computed", np.zeros(field.values.shape, dtype=bool))
    near = np.isfinite(field.values) & _touched(pending)
    if field.blocks is not None or near.sum() < FEWEST:
        return field
    is_log = scale.kind == "log" and bool((field.finite > 0).all())
    heights = np.log(field.values) if is_log else field.values
    place = [np.linspace(0, 1, num) for num in field.values.shape]  # no unit of the axes matters
    i, j = np.nonzero(near)
    try:
        between = Triangulation(place[0][i], place[1][j])
    except (RuntimeError, ValueError):  # all on one line
        return field
    k, m = np.nonzero(pending)
    guess = LinearTriInterpolator(between, heights[i, j])(place[0][k], place[1][m])
    values = field.values.copy()
    values[k, m] = np.ma.filled(np.exp(guess) if is_log else guess, np.nan)
    return replace(field, values=values)


def mark_known(axes: Axes, field: Field, color: str) -> None:
    """Dot the known points that stand alone among guesses, where they are not too many."""
    i, j = np.nonzero(lonely(field))
    if guessed(field).any() and len(i) <= MAX_DOTS:
        axes.plot(field.alpha[i], field.beta[j], ".", color=color, markersize=3, zorder=3.5)


def _touched(mask: np.ndarray) -> np.ndarray:
    """Return which points no step, or one step along the axes or both, from a marked one lie.

    Where nothing is marked near, a point decides no guess; leaving it out saves time.
    """
    wide = np.pad(mask, 1)
    n, m = mask.shape
    shifts = [wide[i : i + n, j : j + m] for i in (0, 1, 2) for j in (0, 1, 2)]
    return np.any(shifts, axis=0)
