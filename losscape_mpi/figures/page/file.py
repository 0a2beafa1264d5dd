"""What the page's script knows of one file: axes, values, missing points, training paths."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from losscape_mpi.figures import caption
from losscape_mpi.figures.column import drawable
from losscape_mpi.figures.field import Field, can_be_contoured, cell_edges, center_index
from losscape_mpi.figures.map.lattice import thinned_surface
from losscape_mpi.figures.number import within_range
from losscape_mpi.figures.page import text as page_text
from losscape_mpi.figures.page.pack import Packer
from losscape_mpi.point.status import FAILED, PENDING
from losscape_mpi.store.path_text import checkpoint_labels
from losscape_mpi.store.surface import Surface, Trajectory

LARGEST_SIZE = 401  # points along an axis: with a million a telephone stalls


def is_profile(surface: Surface) -> bool:
    """Return whether a surface is drawn as curves: a 1-D one, or one point along an axis."""
    return surface.is_line or min(surface.status.shape) == 1


def describe_file(whole: Surface, name: str, packer: Packer) -> dict[str, Any]:
    """Return plain values for the script; arrays go into the packer.

    Args:
        whole: The surface; of a large one the page holds evenly spread points.
        name: Its heading.
        packer: Takes the arrays.
    """
    surface = thinned_surface(whole, drawable(whole)[0], LARGEST_SIZE)
    return {
        "name": name,
        "stem": surface.path.stem,
        "title": " · ".join(caption.title_parts(surface, *_title_splits(surface))),
        "points": page_text.points_text(whole),
        "note": _thinned_note(surface, whole),
        "isLine": is_profile(surface),
        "checkpoints": checkpoint_labels(surface),
        **_axes(surface, packer),
        "status": packer.add(surface.status, "u1"),
        "columns": {
            column: _values(surface, column, packer) | {"text": page_text.describe(whole, column)}
            for column in drawable(surface)
        },
        "trajectories": [_trajectory(surface, *item) for item in surface.trajectories.items()],
    }


def _thinned_note(shown: Surface, whole: Surface) -> str:
    """Return how many points of a large file are shown; empty where all are."""
    if shown.status.size == whole.status.size:
        return ""
    (n, m), (num, other) = shown.status.shape, whole.status.shape
    return (
        f"Thinned: {n} × {m} of the file's {num} × {other} points are shown, evenly spread, with "
        "the center, both ends and the rows of the extreme values. The words are of all points."
    )


def _title_splits(surface: Surface) -> list[str]:
    return caption.title_splits(surface, surface.splits)


def _axes(surface: Surface, packer: Packer) -> dict[str, Any]:
    """Return coordinates, borders of cells, center and words of both axes."""
    edges = {"alpha": cell_edges(surface.alpha), "beta": cell_edges(surface.beta)}
    spans = [float(np.ptp(axis)) for axis in (surface.alpha, surface.beta)]
    center = center_index(surface)
    flat = None if center is None else center[0] * len(surface.beta) + center[1]
    runs_along_beta = len(surface.alpha) == 1 < len(surface.beta)
    return {
        "isSquare": bool(np.isclose(spans[0], spans[1], rtol=0.01)),
        "along": "beta" if runs_along_beta else "alpha",
        "center": flat,
        "hasCenter": all(min(borders) <= 0 <= max(borders) for borders in edges.values()),
        "letters": {axis: caption.axis_letter(surface, axis) for axis in caption.GREEK},
        "labels": {axis: caption.axis_label(surface, axis) for axis in caption.GREEK},
        "shortLabels": {axis: caption.axis_label(surface, axis, True) for axis in caption.GREEK},
        "alpha": packer.add(surface.alpha),
        "beta": packer.add(surface.beta),
        "edges": {axis: packer.add(borders) for axis, borders in edges.items()},
    }


def _values(surface: Surface, column: str, packer: Packer) -> dict[str, Any]:
    values = np.asarray(surface.values[column], dtype=np.float64)
    stderr, axes = surface.error(column), (surface.alpha, surface.beta)
    finite = within_range(np.where(np.isfinite(values), values, np.nan))
    field = Field(column, surface.columns[column], "", *axes, finite, {}, None)
    is_contoured = can_be_contoured(field)
    missing = _missing(surface, np.isfinite(values), packer)
    shown = axes if is_contoured and not missing else [cell_edges(axis) for axis in axes]
    return {
        "values": packer.add(values),
        "stderr": None if stderr is None else packer.add(stderr),
        "hasValues": bool(np.isfinite(values).any() or missing),
        "isContoured": is_contoured,
        "range": [[float(axis[0]), float(axis[-1])] for axis in shown],
        "missing": missing,
    }


def _missing(surface: Surface, is_finite: np.ndarray, packer: Packer) -> list[dict[str, Any]]:
    """Return the missing points by reason, with the outline of their cells."""
    is_pending, is_failed = surface.status == PENDING, surface.status == FAILED
    others = ~is_finite & ~is_pending & ~is_failed
    masks = {"not computed": is_pending, "failed": is_failed, "not finite": others}
    found = []
    for reason, mask in masks.items():
        if mask.any():
            x, y = _outline(surface, mask)
            lost: dict[str, Any] = {"reason": reason, "name": f"{reason} ({mask.sum()})"}
            lost |= {"x": packer.add(x), "y": packer.add(y)}
            lost |= {"points": packer.add(np.flatnonzero(mask), "u4")}
            found.append(lost)
    return found


def _outline(surface: Surface, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rectangles over runs of points along beta: five corners and a gap (NaN) for each."""
    padded = np.pad(mask.astype(np.int8), ((0, 0), (1, 1)))
    change = np.diff(padded, axis=1)  # (n, m + 1)
    i, first = np.nonzero(change == 1)
    last = np.nonzero(change == -1)[1]
    x, y = cell_edges(surface.alpha), cell_edges(surface.beta)
    gap = np.full(len(i), np.nan)
    corners_x = np.stack([x[i], x[i + 1], x[i + 1], x[i], x[i], gap], axis=1)
    corners_y = np.stack([y[first], y[first], y[last], y[last], y[first], gap], axis=1)
    return corners_x.ravel(), corners_y.ravel()


def _trajectory(surface: Surface, name: str, path: Trajectory) -> dict[str, Any]:
    return {
        "name": name,
        "alpha": _numbers(path.alpha),
        "beta": _numbers(path.beta),
        "residual": _numbers(path.residual),
        "planeValues": {column: _numbers(v) for column, v in path.plane_values.items()},
        "text": [
            "<br>".join(map(escape, page_text.checkpoint_words(surface, name, k)))
            for k in range(len(path.labels))
        ],
    }


def _numbers(array: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in array]
