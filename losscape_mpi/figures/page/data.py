"""What the page's script works with: the numbers of the files, and how to show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from losscape_mpi.figures.column import SPLITS, column_words, drawable
from losscape_mpi.figures.number import within_range
from losscape_mpi.figures.page.file import describe_file
from losscape_mpi.figures.page.pack import Packer
from losscape_mpi.figures.page.style import style
from losscape_mpi.figures.scale_choice import choose_scale
from losscape_mpi.figures.style import colormap
from losscape_mpi.point.column import Column
from losscape_mpi.store.surface import Surface

NUM_COLORS = 33  # stops of the colour map; between them colours are mixed


def describe_page(
    surfaces: Sequence[Surface], names: Sequence[str], packer: Packer
) -> dict[str, Any]:
    """Return plain values for the script; arrays go into the packer.

    Args:
        surfaces: What the page shows.
        names: Their headings, all different.
        packer: Takes the arrays.
    """
    columns: dict[str, Column] = {}
    for surface, name in ((s, name) for s in surfaces for name in drawable(s)):
        columns.setdefault(name, surface.columns[name])
    stops = [k / (NUM_COLORS - 1) for k in range(NUM_COLORS)]
    return {
        "columns": [_column(column, surfaces) for column in columns.values()],
        "files": [describe_file(s, name, packer) for s, name in zip(surfaces, names, strict=True)],
        "colorscale": [[stop, to_hex(colormap()(stop))] for stop in stops],
        "style": style(),
    }


def _column(column: Column, surfaces: Sequence[Surface]) -> dict[str, Any]:
    """Return a column's words and the scale that all files share."""
    name, having = column.name, [s for s in surfaces if column.name in s.values]
    values = np.concatenate([s.values[name].ravel() for s in having])
    values = values[np.isfinite(values)]
    scale = choose_scale(values, bounded=column.is_share)
    return {
        "name": name,
        "split": column.split,
        "splitLabel": SPLITS.get(column.split) or column.split,
        "metric": column.quantity,
        "metricLabel": column.quantity.replace("_", " "),
        "label": column_words(having[0], name),
        "kind": scale.kind,
        "low": scale.low,
        "top": float(within_range(values).max()) if len(values) else scale.high,
        "bands": _band_limits(name, having),
        "clip": choose_scale(values, "linear", bounded=column.is_share).high,
        "threshold": scale.threshold,
    }


def _band_limits(name: str, surfaces: Sequence[Surface]) -> list[float | None]:
    """Return the lowest and the highest end of all values with their ± 2 standard errors."""
    ends = []
    for surface in surfaces:
        error, values = surface.error(name), within_range(surface.values[name])
        reach = 2 * np.nan_to_num(
            np.zeros(()) if error is None else within_range(error), posinf=0.0
        )
        ends += [values - reach, values + reach]
    flat = np.concatenate([end.ravel() for end in ends])
    flat = flat[np.isfinite(flat)]
    return [float(flat.min()), float(flat.max())] if len(flat) else [None, None]
