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
from losscape_mpi.figures.scale import NUM_LINES, Scale, number_text
from losscape_mpi.figures.style import colormap, line_colormap
from losscape_mpi.figures.text import short


def add_color_bar(
    figure: Figure,
    places: Sequence[Axes],
    fields: Sequence[Field],
    scale: Scale,
    has_lines: bool = False,
    is_solid: bool = False,
) -> None:
    """Add one colour bar with the values' name, transform and round numbers.

    Args:
        figure: The figure.
        places: The axes that share it.
        fields: What is drawn.
        scale: The scale of all of them.
        has_lines: Whether lines alone are coloured, by a map of their own.
        is_solid: Whether the axes are 3-D, which need room.
    """
    bar = figure.colorbar(
        ScalarMappable(scale.norm, line_colormap() if has_lines else colormap()),
        ax=list(places),
        extend=scale.extend,
        shrink=0.7 if is_solid else 0.95,
        aspect=28,
        pad=0.02,
    )
    ticks = scale.levels(NUM_LINES)
    if fields[0].column in WHOLE_NUMBERS or fields[0].about.role == "count":
        ticks = [tick for tick in ticks if tick == int(tick)]
    bar.set_ticks(scale.forward(np.array(ticks)).tolist(), labels=list(map(number_text, ticks)))
    bar.ax.minorticks_off()
    bar.set_label(_label(fields, scale))


def _label(fields: Sequence[Field], scale: Scale) -> str:
    words = dict.fromkeys(field.words for field in fields)
    # Train and test on one scale share what they are.
    return caption.value_label(
        fields[0].words if len(words) == 1 else short(fields[0].about.quantity), scale
    )
