"""The colour bar that all maps of a figure share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from losscape_mpi.figures import caption
from losscape_mpi.figures.column import WHOLE_NUMBERS
from losscape_mpi.figures.field import Field
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.scale import NUM_LINES, Scale, number_text
from losscape_mpi.figures.style import colormap, line_colormap
from losscape_mpi.figures.text import short

USUAL = Look()
NARROW = 2.0  # inches of width for each tile, below which a bar beside them takes too much


def add_color_bar(
    figure: Figure,
    places: Sequence[Axes],
    fields: Sequence[Field],
    scale: Scale,
    has_lines: bool = False,
    is_solid: bool = False,
    look: Look = USUAL,
) -> None:
    """Add one colour bar with the values' name, transform and round numbers.

    Args:
        figure: The figure.
        places: The axes that share it.
        fields: What is drawn.
        scale: The scale of all of them.
        has_lines: Whether lines alone are coloured, by a map of their own.
        is_solid: Whether the axes are 3-D, which need room.
        look: What the values are called; of a preset the bar goes below narrow tiles.
    """
    columns = {grid.colspan.start for axes in places if (grid := axes.get_subplotspec())}
    is_below = look.paper is not None and figure.get_figwidth() < NARROW * max(len(columns), 2)
    is_below &= len(columns) > 1
    bar = figure.colorbar(
        ScalarMappable(scale.norm, line_colormap() if has_lines else colormap()),
        ax=list(places),
        location="bottom" if is_below else "right",
        extend=scale.extend,
        shrink=0.7 if is_solid and not is_below else 0.95,
        aspect=40 if is_below else 28,
        pad=0.02,
    )
    ticks = scale.levels(NUM_LINES)
    if fields[0].column in WHOLE_NUMBERS or fields[0].about.role == "count":
        ticks = [tick for tick in ticks if tick == int(tick)]
    bar.set_ticks(scale.forward(np.array(ticks)).tolist(), labels=list(map(number_text, ticks)))
    bar.ax.minorticks_off()
    bar.set_label(values_label(fields, scale, look))


def values_label(fields: Sequence[Field], scale: Scale, look: Look = USUAL) -> str:
    """Return what the values of maps are called, with their transform."""
    words = dict.fromkeys(field.words for field in fields)
    # Train and test on one scale share what they are.
    own = fields[0].words if len(words) == 1 else short(fields[0].about.quantity)
    return caption.value_label(short(look.label, 80) if look.label else own, scale)
