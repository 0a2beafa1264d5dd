"""Maps of a surface: labelled contour lines, filled contours, or cells where points are missing."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from losscape_mpi.figures.field import Field, can_be_contoured, cell_edges
from losscape_mpi.figures.map.blocks import block_borders, computed_points
from losscape_mpi.figures.map.refinement import num_parts, refined, refined_axis
from losscape_mpi.figures.map.resolution import draw_unresolved
from losscape_mpi.figures.map.unfinished import mark_known, with_guesses
from losscape_mpi.figures.marks import mark_center, missing_patches, uncovered_patch
from losscape_mpi.figures.scale import Scale, number_text
from losscape_mpi.figures.style import colormap, line_colormap, text_size

NUM_BANDS = 4  # shades between two neighbouring lines of a filled map
LABEL_REACH = 0.47  # of the axes from their middle: a label further out would be cut
LABEL_ROOM = (0.09, 0.045)  # of the axes, between two labels
UNCOVERED = "0.93"  # where a contour would have to cross a missing point
DENSE = 10**4  # points from which shades become pixels inside a vector file


def draw_contour(axes: Axes, field: Field, scale: Scale) -> None:
    """Draw labelled contour lines; cells where the field has too many holes for lines.

    Args:
        axes: Where to draw; x is alpha and y is beta.
        field: The values.
        scale: Limits, transform and levels.
    """
    cells, field = field, with_guesses(field, scale)
    if not can_be_contoured(field):
        draw_cells(axes, cells, scale)
        return
    lines = _lines(axes, field, scale, cmap=line_colormap(), linewidths=1.2)
    texts = dict(zip(lines.levels, map(number_text, scale.lines), strict=True))
    labels = axes.clabel(lines, fmt=texts, fontsize=text_size("x-small"), inline=False)
    _finish(axes, field, scale)
    mark_known(axes, field, "0.35")
    _thin_labels(axes, list(labels or []))


def draw_filled(axes: Axes, field: Field, scale: Scale) -> None:
    """Draw filled contours with lines; cells where the field has too many holes for contours.

    Args:
        axes: Where to draw; x is alpha and y is beta.
        field: The values.
        scale: Limits, transform and levels.
    """
    cells, field = field, with_guesses(field, scale)
    if not can_be_contoured(field):
        draw_cells(axes, cells, scale)
        return
    bands = axes.contourf(
        *_ground(field, scale),
        levels=_band_limits(scale),
        cmap=colormap(),
        norm=scale.norm,
        extend=scale.extend,
        corner_mask=False,
    )
    bands.set_edgecolor("face")  # no white hairlines between the bands of a PDF
    bands.set_rasterized(field.values.size > DENSE)
    _lines(axes, field, scale, colors="white", linewidths=0.5, alpha=0.7)
    _finish(axes, field, scale)
    mark_known(axes, field, "white")


def draw_cells(axes: Axes, field: Field, scale: Scale) -> None:
    """Draw one coloured cell for each computed point, so that holes stay holes.

    Args:
        axes: Where to draw; x is alpha and y is beta.
        field: The values.
        scale: Limits and transform.
    """
    x, y = cell_edges(field.alpha), cell_edges(field.beta)
    heights = _heights(field, scale)
    mesh = axes.pcolormesh(x, y, heights, cmap=colormap(), norm=scale.norm, edgecolors="none")
    mesh.set_rasterized(heights.size > DENSE)
    if field.blocks is not None:
        axes.add_collection(block_borders(field))
        axes.plot(*computed_points(field), ".", color="white", markersize=2, zorder=2.7)
    for patch in missing_patches(field):
        axes.add_artist(patch)
    mark_center(axes, field)
    axes.set_xlim(min(x), max(x))
    axes.set_ylim(min(y), max(y))


def _thin_labels(axes: Axes, labels: list[Text]) -> None:
    """Hide labels that the border would cut, and those of inner lines that lie on another's."""
    kept = np.empty((0, 2))
    for label in reversed(labels):  # the outer lines of a valley have the higher values
        label.set_path_effects([withStroke(linewidth=3, foreground="white")])
        place = axes.transAxes.inverted().transform(axes.transData.transform(label.get_position()))
        is_inside = np.abs(place - 0.5).max() < LABEL_REACH
        is_free = (np.abs(kept - place) > LABEL_ROOM).any(axis=1).all()
        label.set_visible(bool(is_inside and is_free))
        if label.get_visible():
            kept = np.vstack([kept, place])


def _lines(axes: Axes, field: Field, scale: Scale, **style: Any) -> QuadContourSet:
    return axes.contour(
        *_ground(field, scale),
        levels=scale.forward(np.array(scale.lines)),
        norm=None if "colors" in style else scale.norm,
        corner_mask=False,
        linestyles="solid",  # not dashed below 0, which is a loss of 1 on a log scale
        **style,
    )


def _ground(field: Field, scale: Scale) -> tuple[np.ndarray, np.ndarray, np.ma.MaskedArray]:
    """Return alpha, beta and the transformed values of a grid fine enough for smooth lines."""
    parts = num_parts(len(field.alpha)), num_parts(len(field.beta))
    fine = refined(scale.forward(field.values), field.alpha, field.beta, parts)
    x, y = (refined_axis(*pair) for pair in zip((field.alpha, field.beta), parts, strict=True))
    return x, y, np.ma.masked_invalid(fine.T)


def _heights(field: Field, scale: Scale) -> np.ma.MaskedArray:
    """Return the transformed values as matplotlib wants them: row = y = beta, shape (m, n)."""
    return np.ma.masked_invalid(scale.forward(field.values).T)


def _band_limits(scale: Scale) -> np.ndarray:
    """Return the borders of the shades: the lines' levels, each interval divided further."""
    low, high = scale.forward(np.array([scale.low, scale.high]))
    main = np.unique([low, *scale.forward(np.array(scale.lines)), high])
    parts = [np.linspace(a, b, NUM_BANDS, endpoint=False) for a, b in pairwise(main)]
    return np.concatenate([*parts, main[-1:]])


def _finish(axes: Axes, field: Field, scale: Scale) -> None:
    axes.add_artist(uncovered_patch(field, UNCOVERED))
    draw_unresolved(axes, field, scale)
    for patch in missing_patches(field):
        axes.add_artist(patch)
    mark_center(axes, field)
    axes.set_xlim(min(field.alpha), max(field.alpha))
    axes.set_ylim(min(field.beta), max(field.beta))
