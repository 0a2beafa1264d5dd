"""Marks for what a map must not hide: missing points and the center."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as Outline
from matplotlib.transforms import ScaledTranslation

from losscape_mpi.figures.field import Field, at_cells, cell_edges, complete_cells
from losscape_mpi.figures.style import CENTER_MARK, MISSING_STYLE, SAMPLE_MARK

VEIL = 0.5  # how much a hatch covers of a guess
MANY_CELLS = 10**4  # from which neighbours are joined: an outline of each would take seconds


def missing_patches(field: Field) -> list[PathPatch]:
    """Return hatched patches per reason, covering the cells of all its missing points.

    A veil lies over what shows a guess, and over the known points alone among guesses.
    """
    x, y = cell_edges(field.alpha), cell_edges(field.beta)
    guesses = guessed(field)
    veiled = guesses | lonely(field) if guesses.any() else guesses
    areas: list[tuple[str, np.ndarray, float | None]]
    areas = [(reason, mask & ~guesses, None) for reason, mask in field.missing.items()]
    areas.append(("not computed", veiled, VEIL))
    return [
        PathPatch(
            cells_outline(x, y, cells), linewidth=0, zorder=3, alpha=alpha, **MISSING_STYLE[reason]
        )
        for reason, cells, alpha in areas
        if cells.any()
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


def missing_legend(missing: dict[str, np.ndarray], whole: Field | None = None) -> list[Patch]:
    """Return the legend entries of the missing points, such as "not computed (12)".

    Args:
        missing: What is drawn: masks by reason.
        whole: The field whose points are counted, where not all of them are drawn.
    """
    counted = missing if whole is None else whole.missing
    return [
        Patch(linewidth=0.5, label=f"{reason} ({counted[reason].sum()})", **MISSING_STYLE[reason])
        for reason, mask in missing.items()
        if mask.any()
    ]


def mark_center(axes: Axes, field: Field) -> None:
    """Mark the trained parameters with a cross if they lie in the drawn range."""
    x, y = cell_edges(field.alpha), cell_edges(field.beta)
    if min(x) <= 0 <= max(x) and min(y) <= 0 <= max(y):
        axes.plot([0], [0], zorder=4, **CENTER_MARK)


def mark_samples(axes: Axes, field: Field, _scale: object = None) -> None:
    """Dot every point of a flat map that is computed and finite."""
    i, j = np.nonzero(known(field))
    axes.plot(field.alpha[i], field.beta[j], zorder=3.6, **SAMPLE_MARK)


def known(field: Field) -> np.ndarray:
    """Return which points show a value of their own, shape (n, m)."""
    pending = field.missing.get("not computed", np.zeros(field.values.shape, dtype=bool))
    own = np.arange(field.values.size).reshape(field.values.shape)
    is_own = True if field.blocks is None else field.blocks == own
    return np.asarray(np.isfinite(field.values) & ~pending & is_own)


def guessed(field: Field) -> np.ndarray:
    """Return which points show a guess (`unfinished.with_guesses`), shape (n, m)."""
    pending = field.missing.get("not computed", np.zeros(field.values.shape, dtype=bool))
    return np.asarray(pending & np.isfinite(field.values))


def lonely(field: Field) -> np.ndarray:
    """Return which known points are the corner of no cell between four known ones, (n, m)."""
    own = known(field)
    return own & ~at_cells(complete_cells(np.where(own, 0.0, np.nan)))


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
    i, k, j, m = _runs(mask) if np.count_nonzero(mask) > MANY_CELLS else _cells(mask)
    corners = [(x[i], y[j]), (x[k], y[j]), (x[k], y[m]), (x[i], y[m])]
    corners.append(corners[0])
    vertices = np.array(corners).transpose(2, 0, 1).reshape(-1, 2)  # (5 * rectangles, 2)
    codes = [Outline.MOVETO, Outline.LINETO, Outline.LINETO, Outline.LINETO, Outline.CLOSEPOLY]
    return Outline(vertices, np.tile(np.array(codes, dtype=Outline.code_type), len(i)))


def _cells(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the borders of each masked cell: first and last along both axes, as indices."""
    i, j = np.nonzero(mask)
    return i, i + 1, j, j + 1


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the borders of rectangles that cover the masked cells, as few as is easily found."""
    change = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)  # (n, m + 1)
    i, j = np.nonzero(change == 1)
    m = np.nonzero(change == -1)[1]
    # The same run in the next row goes on the same rectangle.
    order = np.lexsort((i, m, j))
    i, j, m = i[order], j[order], m[order]
    goes_on = (np.diff(i) == 1) & (np.diff(j) == 0) & (np.diff(m) == 0)
    first = np.flatnonzero(np.concatenate([[True], ~goes_on]))
    last = np.concatenate([first[1:] - 1, [len(i) - 1]])
    return i[first], i[last] + 1, j[first], m[first]
