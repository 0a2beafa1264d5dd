"""The kinds of figures: one row each. A new kind is its file and its row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.figure import Figure

from losscape_mpi.figures.drawing import Drawing
from losscape_mpi.figures.field import Field
from losscape_mpi.figures.line import profile
from losscape_mpi.figures.map.contour import draw_cells, draw_contour, draw_filled
from losscape_mpi.figures.map.surface3d import draw_surface
from losscape_mpi.figures.path import curve, trajectory
from losscape_mpi.figures.scale import Scale
from losscape_mpi.store.surface import Surface

Place = Literal["plane", "line", "path"]
PLACE_WORDS = {"plane": "2-D", "line": "1-D", "path": "a training path"}
ALL = "all"
RECORD_KIND = "map"  # draws what the run noted of each point, unasked


@dataclass(frozen=True)
class Kind:
    """A kind of figure; it has a `tile` or a `figure`.

    Attributes:
        name: What `--kind` calls it.
        words: What it shows, for the help.
        place: What it is drawn of: a plane, a line or a training path.
        tile: Draws one field into axes of its own: such kinds stand side by side in a panel.
        figure: Returns a whole figure.
        when: Whether it is drawn unasked, with `--kind all` too, or by its name alone.
        is_solid: tile: whether the axes are 3-D.
        has_lines: tile: whether contour lines are drawn, which the samples may not resolve.
        has_line_colors: tile: whether the values' colours are those of lines.
        has_records: Whether it shows what is no function of the place, such as seconds.
        is_watched: Whether `--watch` draws it unasked.
        num_metrics: figure: how many quantities it holds; 0: all of them.
        takes_several: figure: whether it shows several surfaces side by side.
        fits: Whether a surface has what it shows, so that it is drawn unasked.
    """

    name: str
    words: str
    place: Place
    tile: Callable[[Any, Field, Scale], None] | None = None
    figure: Callable[[Drawing], Figure] | None = None
    when: Literal["default", "all", "named"] = "default"
    is_solid: bool = False
    has_lines: bool = False
    has_line_colors: bool = False
    has_records: bool = False
    is_watched: bool = False
    num_metrics: int = 1
    takes_several: bool = False
    fits: Callable[[Surface], bool] = lambda _: True


KINDS: list[Kind] = [
    Kind("contour", "labelled lines", "plane", draw_contour, has_lines=True, has_line_colors=True),
    Kind("filled", "filled contours", "plane", draw_filled, has_lines=True, is_watched=True),
    Kind("surface", "3-D", "plane", draw_surface, is_solid=True),
    Kind("heatmap", "exact cells", "plane", draw_cells, when="all", has_records=True),
    Kind(
        "trajectory",
        "training paths on contours",
        "plane",
        figure=trajectory.draw,
        fits=lambda surface: bool(surface.trajectories),
    ),
    Kind("map", "cells of any column", "plane", draw_cells, when="named", has_records=True),
    Kind(
        "profile",
        "1-D",
        "line",
        figure=profile.draw,
        has_records=True,
        is_watched=True,
        num_metrics=2,
        takes_several=True,
    ),
    Kind(
        "curve",
        "a training path over time",
        "path",
        figure=curve.draw,
        has_records=True,
        is_watched=True,
        num_metrics=0,
        takes_several=True,
    ),
]


def kind_names() -> list[str]:
    """Return what `--kind` may be."""
    return [*(kind.name for kind in KINDS), ALL]


def kind_of(name: str) -> Kind:
    """Return a kind by its name, which must be one of the table's."""
    return next(kind for kind in KINDS if kind.name == name)


def tile_names() -> list[str]:
    """Return the kinds that stand side by side in a panel that a layout describes."""
    return [kind.name for kind in KINDS if kind.tile]


def place_of(surface: Surface) -> Place:
    """Return what a surface is; one with a single point along an axis is a line."""
    if surface.is_path:
        return "path"
    return "line" if surface.is_line or min(surface.status.shape) == 1 else "plane"
