"""The strip under a path's movie: losses and residual of all checkpoints, with a cursor."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from losscape_mpi.figures.field import Field
from losscape_mpi.figures.path.words import clock_of
from losscape_mpi.figures.scale import Kind
from losscape_mpi.figures.style import ACCURACY_COLOR, LOSS_COLOR
from losscape_mpi.store.surface import Trajectory


def draw_strip(axes: Axes, path: Trajectory, field: Field, kind: Kind) -> Line2D:
    """Draw a checkpoint's own value, that of its projection, and the residual against time.

    Args:
        axes: Where to draw; a twin for the residual is added.
        path: The path.
        field: What the map shows.
        kind: Of the map's scale; the strip is logarithmic where the map is.

    Returns:
        A vertical line at the first checkpoint, to be moved by `set_xdata`.
    """
    unit, numbers = clock_of(path)
    drawn = _draw_losses(axes, path, field, numbers)
    if kind == "log" and _is_positive([np.asarray(line.get_ydata()) for line in drawn]):
        axes.set_yscale("log")
    drawn += _draw_residual(axes.twinx(), path, numbers)
    axes.set_xlabel(unit, fontsize="small", labelpad=1)
    axes.set_ylabel(field.words, fontsize="small")
    axes.margins(x=0.01)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    place: dict[str, Any] = {
        "loc": "lower right",
        "bbox_to_anchor": (1, 1),
        "borderaxespad": 0.1,
        "ncols": 3,
    }
    axes.legend(handles=drawn, frameon=False, fontsize="x-small", **place)
    return axes.axvline(numbers[0], color="0.4", linewidth=1, animated=True)


def _draw_losses(axes: Axes, path: Trajectory, field: Field, numbers: list[int]) -> list[Line2D]:
    """Draw the values of the checkpoints and those under the path, as far as they are there."""
    drawn: list[Line2D] = []
    solid: dict[str, Any] = {"color": LOSS_COLOR, "linewidth": 1.6}
    dashed: dict[str, Any] = {"color": "black", "linewidth": 1.1, "linestyle": "--"}
    for values, name, style in (
        (path.values.get(field.column), "of the checkpoint", solid),
        (path.plane_values.get(field.column), "under the path", dashed),
    ):
        if values is not None:
            finite = np.where(np.isfinite(values), values, np.nan)
            drawn += axes.plot(numbers, finite, label=name, **style)
    return drawn


def _draw_residual(twin: Axes, path: Trajectory, numbers: list[int]) -> list[Line2D]:
    dots: dict[str, Any] = {
        "color": ACCURACY_COLOR,
        "linestyle": ":",
        "linewidth": 1.4,
        "label": "residual",
    }
    drawn = twin.plot(numbers, path.residual, **dots)
    twin.set_ylim(0, 1)
    twin.set_ylabel("residual", fontsize="small")
    return drawn


def _is_positive(curves: list[np.ndarray]) -> bool:
    """Return whether all values that are there can be drawn on a logarithmic axis."""
    return all((values[np.isfinite(values)] > 0).all() for values in curves)
