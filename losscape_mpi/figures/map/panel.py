"""Figures of 2-D surfaces: one map, or several side by side on one colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from losscape_mpi.figures import caption, margin, marks
from losscape_mpi.figures.field import Field, make_field
from losscape_mpi.figures.kinds import Kind, kind_of
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.blocks import with_blocks
from losscape_mpi.figures.map.colorbar import add_color_bar
from losscape_mpi.figures.map.frame import SolidAxes
from losscape_mpi.figures.map.lattice import fit_to_pixels
from losscape_mpi.figures.map.note import drawing_notes
from losscape_mpi.figures.map.resolution import unresolved_legend
from losscape_mpi.figures.map.surface3d import mark_samples
from losscape_mpi.figures.marks import legend_below, missing_legend
from losscape_mpi.figures.scale import Scale, number_text
from losscape_mpi.figures.style import plot_settings, text_size
from losscape_mpi.figures.tile import (
    Rows,
    Tile,
    check_comparable,
    in_rows,
    panel_scale,
    subtitle,
    tiles_of,
    titles,
)
from losscape_mpi.store.surface import Surface

LAYOUT_PASSES = 2  # axes of equal aspect with a legend get their final place at the third
TILE_WIDTH = (4.8, 3.6, 3.2, 2.8)  # inches, by the number of columns; the last for all others
SHORT_LABELS = 3  # columns from which an axis label has no room for the normalisation
LONGEST_LABEL = 40  # characters beside a tile of a panel


def map_figure(
    surfaces: Sequence[Surface], kind: str, column: str, look: Look, scale: Scale | None = None
) -> Figure:
    """Return the figure of one or several 2-D surfaces, all on the same colour scale.

    Args:
        surfaces: One surface, or those of a panel, in reading order.
        kind: contour (labelled lines), filled, heatmap or map (exact cells), surface (3-D).
        column: What to draw, such as "train/loss" or "seconds".
        look: Scale, limits, levels, size and style.
        scale: A scale shared with other figures; None makes one from these surfaces.

    Raises:
        UserError: If a surface lacks the column or any value, or the files cannot be compared.
    """
    rows = in_rows([Tile(surface, column) for surface in surfaces], look.rows)
    return panel_figure(rows, kind, look, scale)


def panel_figure(rows: Rows, kind: str, look: Look, scale: Scale | None = None) -> Figure:
    """Return the figure of rows of maps, all on the same colour scale.

    Args:
        rows: Tiles by row and column; None is an empty place.
        kind: As for `map_figure`.
        look: Scale, limits, levels, size and style.
        scale: A scale shared with other figures; None makes one from these tiles.

    Raises:
        UserError: If a surface lacks its column or any value, or the tiles cannot be compared.
    """
    row, tiles = kind_of(kind), tiles_of(rows)
    check_comparable(tiles)
    with plot_settings(look.style):
        fields = [make_field(tile.surface, tile.column) for tile in tiles]
        scale = scale or panel_scale(tiles, look)
        fields = [fit_to_pixels(field) for field in fields]
        drawn = [
            with_blocks(field) if look.blocks and not row.is_solid else field for field in fields
        ]
        title, notes = margin.panel_words(tiles, fields, look.title, row.is_solid)
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        places = _places(figure, rows, row)
        for axes, tile, field in zip(places, tiles, drawn, strict=True):
            _draw_tile(axes, field, row, scale, look)
            _label(axes, tile.surface, row, _wants_short(rows, tile.surface))
        notes += drawing_notes(places, drawn, row, scale, look)
        figure.set_size_inches(*figure_size(rows, row, look, notes))
        if len(tiles) > 1:
            _write_titles(places, tiles)
        if any(len(field.finite) for field in fields):
            add_color_bar(figure, places, fields, scale, row.has_line_colors, row.is_solid)
        margin.write(figure, title, notes)
        _settle(figure, any(axes.get_legend() for axes in places))
    return figure


def figure_size(rows: Rows, kind: Kind, look: Look, notes: Sequence[str]) -> tuple[float, float]:
    """Return width and height in inches: the user's, the style's, or one that fits the tiles."""
    wanted = look.size or look.style.get("figure.figsize")
    if wanted:
        return float(wanted[0]), float(wanted[1])
    num_rows, num_columns = len(rows), max(map(len, rows))
    tile = TILE_WIDTH[min(num_columns, len(TILE_WIDTH)) - 1]
    width = tile * num_columns + 1.2
    height = (tile + (0.3 if kind.is_solid else 0.45)) * num_rows
    return width, height + 0.4 + margin.notes_height(notes, width)


def _places(figure: Figure, rows: Rows, kind: Kind) -> list[Axes]:
    """Return the axes of the tiles in reading order; those without a tile are switched off."""
    own = {"axes_class": SolidAxes} if kind.is_solid else {}
    shape = len(rows), max(map(len, rows))
    grid = figure.subplots(*shape, squeeze=False, subplot_kw=own)
    places = []
    for k, line in enumerate(grid):
        for j, axes in enumerate(line):
            if j < len(rows[k]) and rows[k][j] is not None:
                places.append(axes)
            else:
                axes.set_axis_off()
    return places


def _draw_tile(axes: Any, field: Field, kind: Kind, scale: Scale, look: Look) -> None:
    if kind.tile:
        kind.tile(axes, field, scale)
    entries = missing_legend(field.missing, field.whole)
    if kind.has_lines:
        entries += unresolved_legend(field, scale)
    legend_below(axes, entries, 2 if kind.is_solid else 36)
    if look.samples:
        (mark_samples if kind.is_solid else marks.mark_samples)(axes, field, scale)
    if kind.is_solid and look.view:
        axes.view_init(elev=look.view[0], azim=look.view[1])


def _wants_short(rows: Rows, surface: Surface) -> bool:
    """Return whether tiles have no room for the full label of an axis, which the notes repeat."""
    longest = max(len(caption.axis_label(surface, axis)) for axis in caption.GREEK)
    num_columns = max(map(len, rows))
    return num_columns >= SHORT_LABELS or (num_columns > 1 and longest > LONGEST_LABEL)


def _label(axes: Any, surface: Surface, kind: Kind, is_short: bool) -> None:
    letters = text_size("font.size")
    # A 3-D axis adds 21 points to the distance of its name, and 8 to that of its numbers.
    size, pad = ("small", 2.8 * letters - 21) if kind.is_solid else (None, None)
    if kind.is_solid:
        axes.tick_params(pad=1.15 * letters - 8)
    axes.set_xlabel(caption.axis_label(surface, "alpha", is_short), fontsize=size, labelpad=pad)
    axes.set_ylabel(caption.axis_label(surface, "beta", is_short), fontsize=size, labelpad=pad)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(lambda value, _: number_text(value))
    if not kind.is_solid and np.isclose(
        np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim()), rtol=0.01
    ):
        axes.set_aspect("equal")


def _write_titles(places: Sequence[Any], tiles: Sequence[Tile]) -> None:
    for axes, tile, title in zip(places, tiles, titles(tiles), strict=True):
        # Two texts in one: the title's own size, and the smaller one of what stands below it.
        second = subtitle(tile)
        pad = 6
        axes.set_title(title, y=1.0, parse_math=False, pad=pad + 14 * bool(second))
        axes.title.set_y(1.0)  # an Axes3D lowers it into the picture
        if second:
            place = {"xy": (0.5, 1), "xytext": (0, pad), "textcoords": "offset points"}
            axes.annotate(
                second,
                **place,
                xycoords="axes fraction",
                ha="center",
                fontsize="small",
                color="0.3",
                parse_math=False,
            )


def _settle(figure: Figure, has_legends: bool) -> None:
    engine, canvas = figure.get_layout_engine(), FigureCanvasAgg(figure)
    solid = [axes for axes in figure.axes if isinstance(axes, SolidAxes)]
    if engine is not None and (has_legends or solid):
        for _ in range(LAYOUT_PASSES):
            engine.execute(figure)
    for axes in solid:
        axes.frame(canvas.get_renderer())
