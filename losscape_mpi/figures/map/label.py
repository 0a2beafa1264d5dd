"""The words at a map: its axes, and a tile's title."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from losscape_mpi.figures import caption
from losscape_mpi.figures.kinds import Kind
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.surface3d import set_zoom
from losscape_mpi.figures.scale import number_text
from losscape_mpi.figures.style import text_size
from losscape_mpi.figures.tile import Tile, subtitle, titles
from losscape_mpi.store.surface import Surface


def label_axes(axes: Any, surface: Surface, kind: Kind, look: Look, is_short: bool) -> None:
    """Name the axes of a map and number them; equal ranges get equal lengths.

    Args:
        axes: With the map in it.
        surface: Whose plane it is.
        kind: Of the figure.
        look: Of a preset, letters stand there alone.
        is_short: Whether there is no room for how the directions were made.
    """
    letters = text_size("font.size")
    size = text_size("small") if kind.is_solid else None
    # A 3-D axis adds 8 points to the distance of its numbers, and 21 to that of its name.
    pad = letters * (2.8 if look.paper is None else 2.2) - 21 if kind.is_solid else None
    if kind.is_solid:
        axes.tick_params(pad=1.15 * letters - 8)
    for axis, name in ((axes.xaxis, "alpha"), (axes.yaxis, "beta")):
        is_letter = look.paper is not None
        words = caption.GREEK[name] if is_letter else caption.axis_label(surface, name, is_short)
        axis.set_label_text(words, fontsize=size)
        axis.labelpad = axis.labelpad if pad is None else pad
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(lambda value, _: number_text(value))
    if not kind.is_solid and np.isclose(
        np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim()), rtol=0.01
    ):
        axes.set_aspect("equal")


def write_titles(places: Sequence[Any], tiles: Sequence[Tile], kind: Kind, look: Look) -> None:
    """Write what each tile of a panel is above it, and the network's test error below that."""
    letters = text_size("font.size")
    for axes, tile, title in zip(places, tiles, titles(tiles), strict=True):
        # Two texts in one: the title's own size, and the smaller one of what stands below it.
        second = subtitle(tile)
        if look.paper or look.asked_size:
            second = second.partition(" (")[0]  # the small print has the number of samples
        pad = (-1.4 if kind.is_solid else 0.6) * letters  # a 3-D box has empty upper corners
        axes.set_title(title, parse_math=False, pad=pad + 1.4 * letters * bool(second))
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
        if kind.is_solid:
            set_zoom(axes, 0.8)
