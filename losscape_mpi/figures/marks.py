"""Marks for what a map must not hide: missing points and the center."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as Outline
from matplotlib.transforms import ScaledTranslation

from losscape_mpi.figures.field import Field, cell_edges, complete_cells
from losscape_mpi.figures.style import CENTER_MARK, MISSING_STYLE


def missing_patches(field: Field) -> list[PathPatch]:
    """Return one hatched patch per reason, covering the cells of all its missing points."""
    x, y = cell_edges(field.alpha), cell_edges(field.beta)
    return [
        PathPatch(cells_outline(x, y, mask), linewidth=0, zorder=3, **MISSING_STYLE[reason])
        for reason, mask in field.missing.items()
        if mask.any()
    ]


def missing_strips(x: np.ndarray, missing: dict[str, np.ndarray]) -> list[PathPatch]:
    """Return one hatched patch per reason, 0 to 1 high, at the missing points of a line.

    Args:
        x: Coordinates of the line's points, shape (num,).
        missing: Masks by reason, shape (num,).
    """
    borders, height = cell_edges(x), np.array([0.0, 1.0])
    return [
        PathPatch(
            cells_outline(borders, height, mask[:, None]),
            linewidth=0,
            zorder=0.5,
            **MISSING_STYLE[reason],
        )
        for reason, mask in missing.items()
        if mask.any()
    ]


def united(fields: Sequence[Field]) -> dict[str, np.ndarray]:
    """Return by reason which points of a line miss at least one of several columns, (num,)."""
    reasons = dict.fromkeys(reason for field in fields for reason in field.missing)
    return {
        reason: np.any([f.missing[reason].ravel() for f in fields if reason in f.missing], axis=0)
        for reason in reasons
    }


def uncovered_patch(field: Field, color: str) -> PathPatch:
    """Return a plain patch over the cells that no contour crosses, as a corner is missing."""
    outline = cells_outline(field.alpha, field.beta, ~complete_cells(field.values))
    return PathPatch(outline, linewidth=0, zorder=2.5, facecolor=color)


def missing_legend(missing: dict[str, np.ndarray]) -> list[Patch]:
    """Return the legend entries of the missing points, such as "not computed (12)"."""
    return [
        Patch(linewidth=0.5, label=f"{reason} ({mask.sum()})", **MISSING_STYLE[reason])
        for reason, mask in missing.items()
        if mask.any()
    ]


def mark_center(axes: Axes, field: Field) -> None:
    """Mark the trained parameters with a cross if they lie in the drawn range."""
    x, y = cell_edges(field.alpha), cell_edges(field.beta)
    if min(x) <= 0 <= max(x) and min(y) <= 0 <= max(y):
        axes.plot([0], [0], zorder=4, **CENTER_MARK)


def legend_below(
    axes: Axes, entries: Sequence[Artist], gap_pt: float, columns: int | None = None
) -> None:
    """Put a legend under the axes, a gap in points below them; nothing without entries."""
    figure = axes.figure
    if entries and figure is not None:
        gap = ScaledTranslation(0, -gap_pt / 72, figure.dpi_scale_trans)
        axes.legend(
            handles=entries,
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            bbox_transform=axes.transAxes + gap,
            ncols=columns or (len(entries) if len(entries) <= 2 else 2),
            frameon=False,
            borderaxespad=0,
        )


def cells_outline(x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> Outline:
    """Return one path around all masked cells: one patch hatches faster than thousands.

    Args:
        x: Borders of the cells along axis 0, shape (n + 1,).
        y: Along axis 1, shape (m + 1,).
        mask: Which cells, shape (n, m).
    """
    i, j = np.nonzero(mask)
    corners = [(x[i], y[j]), (x[i + 1], y[j]), (x[i + 1], y[j + 1]), (x[i], y[j + 1])]
    corners.append(corners[0])
    vertices = np.array(corners).transpose(2, 0, 1).reshape(-1, 2)  # (5 * num_cells, 2)
    codes = [Outline.MOVETO, Outline.LINETO, Outline.LINETO, Outline.LINETO, Outline.CLOSEPOLY]
    return Outline(vertices, codes * len(i))
