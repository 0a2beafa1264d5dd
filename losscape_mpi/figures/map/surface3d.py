"""The 3-D picture of a surface: its shaded relief, its lines on the floor, and what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import pathpatch_2d_to_3d

from losscape_mpi.figures.field import (
    Field,
    can_be_contoured,
    cell_edges,
    center_index,
    complete_cells,
)
from losscape_mpi.figures.map.lattice import fit_to_pixels, thinned
from losscape_mpi.figures.map.refinement import num_parts, refined, refined_axis
from losscape_mpi.figures.map.relief import STEEPNESS, Relief, shaded
from losscape_mpi.figures.map.sight import SightedLine
from losscape_mpi.figures.marks import known, lonely, missing_patches
from losscape_mpi.figures.scale import Scale, number_text
from losscape_mpi.figures.style import CENTER_MARK, SAMPLE_MARK, colormap, line_colormap

LARGEST_SIZE = 201  # points of the grid along an axis that the relief goes through
PINS_SIZE = 61  # along an axis, up to which an unfinished grid is drawn as it is
ELEVATION, AZIMUTH = 34.0, -58.0
FLOOR_GAP = 0.22  # of the height of the values: the floor lies below them, so that it is seen
MOST_STEMS = 150  # more are a grey wall
STEM_STEPS = 16  # places along a pin's stem that are looked at from the eye
CENTER = "center"
STEM: dict[str, Any] = {"color": "0.6", "linewidth": 0.5}
HEAD_MARK: dict[str, Any] = {"marker": "o", "markersize": 4, "linestyle": "none"}
HEAD_MARK |= {"markeredgecolor": "0.25", "markeredgewidth": 0.4}
HEAD_COLORS = 24  # of the pins: a line of heads for each


def draw_surface(axes: Axes3D, field: Field, scale: Scale) -> None:
    """Draw the surface over the plane; x is alpha, y is beta, z the transformed value.

    Between the points it is interpolated for the eye. Cells with a missing corner are holes;
    points without a complete cell stand as pins. Missing points are hatched on the floor.

    Args:
        axes: A 3-D axes.
        field: The values.
        scale: Limits and transform; values beyond a limit are drawn at the limit.
    """
    low, top = scale.limits
    floor = low - FLOOR_GAP * (top - low)
    drawn = thin(field)
    relief = relief_of(drawn, scale)
    axes.computed_zorder = False  # what hides what is known here
    for patch in missing_patches(drawn):
        axes.add_artist(patch)
        pathpatch_2d_to_3d(patch, z=floor, zdir="z")
    if relief is not None:
        _draw_floor_lines(axes, relief, scale, floor)
        axes.add_artist(relief)
        relief.set_zorder(5)
    _draw_pins(axes, drawn, scale, relief, floor)
    _mark_center(axes, field, scale, relief)
    axes.set_xlim(*_ends(field, field.alpha))
    axes.set_ylim(*_ends(field, field.beta))
    axes.set_zlim(floor, top)
    ticks = scale.levels(7) if len(field.finite) else []
    axes.set_zticks(scale.forward(np.array(ticks)), map(number_text, ticks))
    axes.view_init(elev=ELEVATION, azim=AZIMUTH)
    axes.set_box_aspect((1, 1, STEEPNESS * (1 + FLOOR_GAP)))


def thin(field: Field) -> Field:
    """Return the points that are drawn: not all along an axis of too many.

    Of a large unfinished grid they are those of a coarser one that the run has been through: more
    pins than these would hide each other.
    """
    return thinned(fit_to_pixels(field, seen=PINS_SIZE), LARGEST_SIZE)


def relief_of(field: Field, scale: Scale) -> Relief | None:
    """Return the shaded surface of all complete cells; None where there is none."""
    up = [1 if axis[-1] >= axis[0] else -1 for axis in (field.alpha, field.beta)]
    alpha, beta = field.alpha[:: up[0]], field.beta[:: up[1]]
    values = field.values[:: up[0], :: up[1]]
    if field.blocks is not None or not complete_cells(values).any():
        return None
    parts = num_parts(len(alpha)), num_parts(len(beta))
    fine = refined(scale.forward(values), alpha, beta, parts)
    x, y = refined_axis(alpha, parts[0]), refined_axis(beta, parts[1])
    heights = np.clip(fine, *scale.forward(np.array([scale.low, scale.high])))
    return Relief(x, y, heights, shaded(x, y, heights, scale, colormap()))


def mark_samples(axes: Any, field: Field, scale: Scale) -> None:
    """Dot every point that shows a value of its own, where the surface does not hide it."""
    i, j = np.nonzero(known(field))
    heights = scale.heights(field.values[i, j])
    points = np.column_stack([field.alpha[i], field.beta[j], heights])
    relief = next((part for part in axes.get_children() if isinstance(part, Relief)), None)
    axes.add_line(SightedLine(points, relief, is_on=True, zorder=7, **SAMPLE_MARK))


def is_center_hidden(axes: Any) -> bool:
    """Return whether the surface hides the center's mark in the view of a 3-D axes."""
    marks = [part for part in axes.get_children() if isinstance(part, SightedLine)]
    marks = [mark for mark in marks if mark.get_gid() == CENTER]
    return any(bool(mark.hidden(axes.get_proj()).all()) for mark in marks)


def _draw_floor_lines(axes: Any, relief: Relief, scale: Scale, floor: float) -> None:
    lines = np.unique(scale.forward(np.array(scale.lines)))
    lines = lines[(lines > np.nanmin(relief.heights)) & (lines < np.nanmax(relief.heights))]
    if len(lines):
        axes.contour(
            *np.meshgrid(relief.alpha, relief.beta),
            np.ma.masked_invalid(relief.heights.T),
            levels=lines,
            cmap=line_colormap(),
            norm=scale.norm,
            linewidths=0.8,
            linestyles="solid",
            zdir="z",
            offset=floor,
            zorder=3,
        )


def _draw_pins(axes: Any, field: Field, scale: Scale, relief: Relief | None, floor: float) -> None:
    """Draw the points without a complete cell: a head, and its stem where stems stay apart."""
    i, j = np.nonzero(np.isfinite(field.values) if relief is None else lonely(field))
    heights = scale.heights(field.values[i, j])
    steps = np.linspace(0, 1, STEM_STEPS)
    stems = np.full((len(i), STEM_STEPS + 1, 3), np.nan)  # the NaN parts two stems
    stems[:, :-1, 0], stems[:, :-1, 1] = field.alpha[i, None], field.beta[j, None]
    stems[:, :-1, 2] = floor + (heights[:, None] - floor) * steps
    if 0 < len(i) <= MOST_STEMS:
        axes.add_line(SightedLine(stems.reshape(-1, 3), relief, zorder=6, **STEM))
    shade = np.round(scale.norm(heights) * HEAD_COLORS)
    for own in np.unique(shade):
        color = colormap()(own / HEAD_COLORS)
        heads = stems[shade == own, -2]
        axes.add_line(SightedLine(heads, relief, zorder=6.5, color=color, **HEAD_MARK))


def _mark_center(axes: Any, field: Field, scale: Scale, relief: Relief | None) -> None:
    index = center_index(field)
    if index is not None and np.isfinite(field.values[index]):
        height = float(scale.heights(field.values[index]))
        points = np.array([[0.0, 0.0, height]])
        axes.add_line(SightedLine(points, relief, is_on=True, zorder=10, gid=CENTER, **CENTER_MARK))


def _ends(field: Field, axis: np.ndarray) -> tuple[float, float]:
    """Return the limits of an axis: with the outer halves of the cells where cells are drawn."""
    has_cells = not can_be_contoured(field) or any(m.any() for m in field.missing.values())
    edges = cell_edges(axis) if has_cells else axis
    return float(min(edges)), float(max(edges))
