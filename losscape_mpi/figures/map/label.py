"""The words at a map: its axes, and a tile's title."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.ticker import MaxNLocator

from losscape_mpi.figures import caption
from losscape_mpi.figures.kinds import Kind
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.scale import number_text
from losscape_mpi.figures.style import text_size
from losscape_mpi.figures.tile import Tile, subtitle, titles
from losscape_mpi.store.surface import Surface

LabelKind = Literal["full", "short", "letter"]


def label_axes(axes: Any, surface: Surface, kind: Kind, label: LabelKind) -> None:
    """Name the axes of a map and number them; equal ranges get equal lengths.

    Args:
        axes: With the map in it.
        surface: Whose plane it is.
        kind: Of the figure.
        label: What there is room for: all; no word of how the directions were made; a letter.
    """
    letters = text_size("font.size")
    size = text_size("small") if kind.is_solid else None
    # A 3-D axis adds 8 points to the distance of its numbers, and 21 to that of its name.
    pad = letters * 2.8 - 21 if kind.is_solid else None
    if kind.is_solid:
        axes.tick_params(pad=1.15 * letters - 8)
    for axis, name in ((axes.xaxis, "alpha"), (axes.yaxis, "beta")):
        words = caption.axis_label(surface, name, label == "short")
        words = caption.GREEK[name] if label == "letter" else words
        axis.set_label_text(words, fontsize=size)
        axis.labelpad = axis.labelpad if pad is None else pad
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(lambda value, _: number_text(value))
    if not kind.is_solid and np.isclose(
        np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim()), rtol=0.01
    ):
        axes.set_aspect("equal")


def write_titles(places: Sequence[Any], tiles: Sequence[Tile], look: Look) -> None:
    """Write what each tile of a panel is above it, and the network's test error below that."""
    letters = text_size("font.size")
    for axes, tile, title in zip(places, tiles, titles(tiles), strict=True):
        # Two texts in one: the title's own size, and the smaller one of what stands below it.
        second = subtitle(tile)
        if look.is_fitted:
            second = second.partition(" (")[0]  # the small print has the number of samples
        pad = 0.6 * letters
        axes.set_title(title, y=1.0, parse_math=False, pad=pad + 1.4 * letters * bool(second))
        axes.title.set_y(1.0)  # an Axes3D lowers it into the picture
        if second:
            place = {"xy": (0.5, 1), "xytext": (0, pad), "textcoords": "offset points"}
            axes.annotate(
                second,
                **place,
                xycoords="axes fraction",
                ha="center",
                fontsize=text_size("small"),
                color="0.3",
                parse_math=False,
            )


def share_numbers(places: Sequence[Any], look: Look) -> None:
    """Number the outer axes of a preset alone where all tiles show the same plane's range."""
    if look.paper is None or places[0].name == "3d":
        return
    limits = [[*axes.get_xlim(), *axes.get_ylim()] for axes in places]
    if all(np.allclose(limits[0], other) for other in limits):
        for axes in places:
            axes.label_outer()


def name_heights(places: Sequence[Any], label: str, look: Look) -> None:
    """Name the vertical axes of 3-D boxes that no colour bar explains."""
    for axes in () if look.has_color_bar or places[0].name != "3d" else places:
        axes.set_zlabel(label, fontsize=text_size("small"), labelpad=0.5 * text_size("font.size"))
