"""Maps of a surface: labelled contour lines, filled contours, or cells where points are missing."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.patheffects import withStroke

from losscape_mpi.figures.field import Field, can_be_contoured, cell_edges
from losscape_mpi.figures.marks import mark_center, missing_patches, uncovered_patch
from losscape_mpi.figures.scale import Scale, number_text
from losscape_mpi.figures.style import COLORMAP, TICK_SIZE, line_colormap

NUM_LINES = 12
NUM_BANDS = 4  # shades between two neighbouring lines of a filled map
LABEL_REACH = 0.47  # of the axes from their middle: a label further out would be cut
UNCOVERED = "0.93"  # where a contour would have to cross a missing point


def draw_contour(axes: Axes, field: Field, scale: Scale) -> None:
    """Draw labelled contour lines; cells where the field has too many holes for lines.

    Args:
        axes: Where to draw; x is alpha and y is beta.
        field: The values.
        scale: Limits, transform and levels.
    """
    if not can_be_contoured(field):
        draw_cells(axes, field, scale)
        return
    lines = _lines(axes, field, scale, cmap=line_colormap(), linewidths=1.2)
    texts = dict(zip(lines.levels, map(number_text, scale.levels(NUM_LINES)), strict=True))
    labels = axes.clabel(lines, fmt=texts, fontsize=TICK_SIZE - 1, inline=False)
    _finish(axes, field)
    for label in labels or []:
        label.set_path_effects([withStroke(linewidth=3, foreground="white")])
        place = axes.transAxes.inverted().transform(axes.transData.transform(label.get_position()))
        label.set_visible(bool(np.abs(place - 0.5).max() < LABEL_REACH))


def draw_filled(axes: Axes, field: Field, scale: Scale) -> None:
    """Draw filled contours with lines; cells where the field has too many holes for contours.

    Args:
        axes: Where to draw; x is alpha and y is beta.
        field: The values.
        scale: Limits, transform and levels.
    """
    if not can_be_contoured(field):
        draw_cells(axes, field, scale)
        return
    bands = axes.contourf(
        field.alpha,
        field.beta,
        _heights(field, scale),
        levels=_band_limits(scale),
        cmap=COLORMAP,
        norm=scale.norm,
        extend="max" if scale.is_clipped else "neither",
        corner_mask=False,
    )
    bands.set_edgecolor("face")  # no white hairlines between the bands of a PDF
    _lines(axes, field, scale, colors="white", linewidths=0.5, alpha=0.7)
    _finish(axes, field)


def draw_cells(axes: Axes, field: Field, scale: Scale) -> None:
    """Draw one coloured cell for each computed point, so that holes stay holes.

    Args:
        axes: Where to draw; x is alpha and y is beta.
        field: The values.
        scale: Limits and transform.
    """
    x, y = cell_edges(field.alpha), cell_edges(field.beta)
    heights = _heights(field, scale)
    axes.pcolormesh(x, y, heights, cmap=COLORMAP, norm=scale.norm, rasterized=heights.size > 10**4)
    for patch in missing_patches(field):
        axes.add_patch(patch)
    mark_center(axes, field)
    axes.set_xlim(min(x), max(x))
    axes.set_ylim(min(y), max(y))


def _lines(axes: Axes, field: Field, scale: Scale, **style: Any) -> QuadContourSet:
    levels = scale.forward(np.array(scale.levels(NUM_LINES)))
    return axes.contour(
        field.alpha,
        field.beta,
        _heights(field, scale),
        levels=levels,
        norm=None if "colors" in style else scale.norm,
        corner_mask=False,
        linestyles="solid",  # not dashed below 0, which is a loss of 1 on a log scale
        **style,
    )


def _heights(field: Field, scale: Scale) -> np.ma.MaskedArray:
    """Return the transformed values as matplotlib wants them: row = y = beta, shape (m, n)."""
    return np.ma.masked_invalid(scale.forward(field.values).T)


def _band_limits(scale: Scale) -> np.ndarray:
    """Return the borders of the shades: the lines' levels, each interval divided further."""
    low, high = scale.forward(np.array([scale.low, scale.high]))
    main = np.unique([low, *scale.forward(np.array(scale.levels(NUM_LINES))), high])
    parts = [np.linspace(a, b, NUM_BANDS, endpoint=False) for a, b in pairwise(main)]
    return np.concatenate([*parts, main[-1:]])


def _finish(axes: Axes, field: Field) -> None:
    axes.add_patch(uncovered_patch(field, UNCOVERED))
    for patch in missing_patches(field):
        axes.add_patch(patch)
    mark_center(axes, field)
    axes.set_xlim(min(field.alpha), max(field.alpha))
    axes.set_ylim(min(field.beta), max(field.beta))
