"""Figures of 2-D surfaces: one map, or several side by side on one colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from losscape_mpi.figures import caption, margin, marks
from losscape_mpi.figures.aside import aside_notes
from losscape_mpi.figures.field import Field, make_field
from losscape_mpi.figures.fit import fit
from losscape_mpi.figures.kinds import Kind, kind_of
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.blocks import with_blocks
from losscape_mpi.figures.map.colorbar import add_color_bar, values_label
from losscape_mpi.figures.map.frame import SolidAxes
from losscape_mpi.figures.map.label import (
    LabelKind,
    label_axes,
    name_heights,
    share_numbers,
    write_titles,
)
from losscape_mpi.figures.map.lattice import fit_to_pixels
from losscape_mpi.figures.map.legend import entries, explain
from losscape_mpi.figures.map.note import drawing_notes
from losscape_mpi.figures.map.surface3d import mark_samples
from losscape_mpi.figures.scale import Scale
from losscape_mpi.figures.sheet import Sheet, make_sheet
from losscape_mpi.figures.style import plot_settings
from losscape_mpi.figures.tile import (
    Rows,
    Tile,
    check_comparable,
    in_rows,
    panel_scale,
    tiles_of,
)
from losscape_mpi.store.surface import Surface

LAYOUT_PASSES = 2  # axes of equal aspect with a legend get their final place at the third
TILE_WIDTH = (4.8, 3.6, 3.2, 2.8)  # inches, by the number of columns; the last for all others
SHORT_LABELS = 3  # columns from which an axis label has no room for the normalisation
LONGEST_LABEL = 40  # characters beside a tile of a panel
SOLID_ROOM = 1.5  # of a flat map: the labels of a 3-D box stand askew
FLAT_RATIO = 0.8  # height over width of a map whose axes differ in range


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
        drawn = fields if row.is_solid or not look.blocks else list(map(with_blocks, fields))
        title, notes = margin.panel_words(tiles, fields, look.title, row.is_solid)
        is_letter = _is_tight(rows, row, look)
        figure = make_sheet(look, figure_size(rows, row, notes))
        places = _places(figure, rows, row)
        for axes, tile, field in zip(places, tiles, drawn, strict=True):
            _draw_tile(axes, field, row, scale, look)
            label_axes(axes, tile.surface, row, _label_kind(rows, tile.surface, is_letter))
        share_numbers(places, look)
        notes += drawing_notes(places, drawn, row, scale, look)
        notes += aside_notes([tile.surface for tile in tiles], is_letter)
        explain(figure, places, [entries(field, row, scale) for field in drawn], row, is_letter)
        if len(tiles) > 1:
            write_titles(places, tiles, look)
        label = values_label(fields, scale, look)
        name_heights(places, label, look)
        if look.has_color_bar and any(len(field.finite) for field in fields):
            add_color_bar(figure, places, fields, scale, row.has_line_colors, row.is_solid, look)
        if not (look.paper or look.asked_size):
            figure.set_size_inches(*figure_size(rows, row, notes))
        margin.write(figure, title, notes, look, f"{label}, {row.words}", is_letter)
        _settle(figure, places, row, look)
    return figure


def figure_size(rows: Rows, kind: Kind, notes: Sequence[str]) -> tuple[float, float]:
    """Return the width and height in inches that fit the tiles."""
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
    if look.samples:
        (mark_samples if kind.is_solid else marks.mark_samples)(axes, field, scale)
    if kind.is_solid and look.view:
        axes.view_init(elev=look.view[0], azim=look.view[1])


def _is_tight(rows: Rows, kind: Kind, look: Look) -> bool:
    """Return whether tiles have no room for the units of their axes."""
    room = SOLID_ROOM if kind.is_solid else 1
    return look.has_letters_alone(room * len(rows), room * max(map(len, rows)))


def _label_kind(rows: Rows, surface: Surface, is_letter: bool) -> LabelKind:
    """Return how much of an axis's label tiles have room for; the notes repeat the rest."""
    longest = max(len(caption.axis_label(surface, axis)) for axis in caption.GREEK)
    num_columns = max(map(len, rows))
    is_short = num_columns >= SHORT_LABELS or (num_columns > 1 and longest > LONGEST_LABEL)
    return "letter" if is_letter else "short" if is_short else "full"


def _settle(sheet: Sheet, places: Sequence[Any], kind: Kind, look: Look) -> None:
    if look.is_fitted:
        is_square = places[0].get_aspect() != "auto" or kind.is_solid
        fit(sheet, places, look, 1.0 if is_square else FLAT_RATIO)
        return
    engine = sheet.get_layout_engine()
    if engine is not None and (kind.is_solid or any(axes.get_legend() for axes in places)):
        for _ in range(LAYOUT_PASSES):
            engine.execute(sheet)
    for axes in places if kind.is_solid else ():
        axes.frame(FigureCanvasAgg(sheet).get_renderer())
