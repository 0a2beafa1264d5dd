"""From surfaces and options to named figures, for `losscape_mpi.render`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from losscape_mpi.errors import UserError
from losscape_mpi.figures.column import POINT_COLUMNS, column_named
from losscape_mpi.figures.command.options import look_of
from losscape_mpi.figures.drawing import Drawing
from losscape_mpi.figures.kinds import (
    ALL,
    KINDS,
    PLACE_WORDS,
    RECORD_KIND,
    Kind,
    Place,
    place_of,
    tile_names,
)
from losscape_mpi.figures.layout import Layout, load_layout
from losscape_mpi.figures.map.panel import panel_figure
from losscape_mpi.figures.tile import MOST_IN_A_ROW, Tile, in_rows, panel_scale
from losscape_mpi.store.surface import Surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_A_LAYOUT = ("paper", "cmap", "label")  # options that a layout may hold
NARROWEST = 14.0  # sizes of a letter that a map of a preset needs
UNSAFE = re.compile(r"[^\w.+=-]")  # in the name of a file, on any system


def figures_of(
    group: list[Surface], every: list[Surface], options: argparse.Namespace
) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of one file, or of one panel, with their names.

    Args:
        group: The surface, or those of the panel.
        every: All surfaces of the command, whose scale is shared by --share.
        options: Of the command line.

    Raises:
        UserError: If a kind or column does not fit the files.
    """
    place = _place(group, options)
    alike = [surface for surface in every if place_of(surface) == place]
    stem = group[0].path.stem + ("_panel" if options.panel else "")
    for scale in ("linear", "log") if options.scale == "both" else (options.scale,):
        look = look_of(options, scale)
        suffix = "" if scale == "auto" else f"_{scale}"
        shared = alike if options.share and not options.panel else []
        for kind, metrics, splits in _orders(group, place, options):
            names = [*(splits if options.split else []), *(metrics if options.metric else [])]
            chosen = "".join(f"_{UNSAFE.sub('_', name)}" for name in names)
            figure = _figure(kind, Drawing(group, metrics, splits, look, shared))
            yield f"{stem}{chosen}_{kind.name}{suffix}", figure


def read_layout(options: argparse.Namespace) -> Layout | None:
    """Return the layout of the command, if there is one; options that it alone says are set."""
    if options.layout is None:
        return None
    layout = load_layout(options.layout)
    for name in OF_A_LAYOUT:
        setattr(options, name, getattr(options, name) or getattr(layout, name))
    return layout


def layout_figures(
    layout: Layout, surfaces: dict[str, Surface], options: argparse.Namespace
) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of a layout with their kinds.

    Args:
        layout: The panel.
        surfaces: By file name.
        options: Of the command line; what they say goes before what the layout says.

    Raises:
        UserError: If a kind has no place in a panel, or a file is a training path.
    """
    for path in (name for name, surface in surfaces.items() if surface.is_path):
        raise UserError(f"{path} is a training path; a layout takes files of planes")
    for kind in (kind for kind in options.kind or () if kind not in tile_names()):
        raise UserError(
            f"found --kind {kind} with --layout, expected one of {', '.join(tile_names())}"
        )
    look = look_of(options, layout.scale if options.scale in ("auto", "both") else options.scale)
    own: dict[str, Any] = {"clip": layout.clip, "limits": layout.limits, "levels": layout.levels}
    own |= {"view": layout.view, "title": layout.title}
    if options.clip is not None or options.limits is not None:
        del own["clip"], own["limits"]
    missing = {k: v for k, v in own.items() if getattr(look, k) is None}
    look = replace(look, **missing)
    rows: list[list[Tile | None]] = []
    for row in layout.rows:
        rows.append([])
        for place in row:
            if place is None:
                rows[-1].append(None)
                continue
            surface = surfaces[str(place.file)]
            split = place.split or layout.split or surface.splits[0]
            column = column_named(surface, layout.metric, split)
            rows[-1].append(Tile(surface, column, place.title, place.subtitle))
    for kind in options.kind or layout.kind:
        yield kind, panel_figure(rows, kind, look)


def _place(group: list[Surface], options: argparse.Namespace) -> Place:
    """Return what the files of a figure are, all of them alike."""
    places = [place_of(surface) for surface in group]
    for surface, place in zip(group, places, strict=True):
        if place != places[0]:
            raise UserError(
                f"{surface.path} is {PLACE_WORDS[place]}, {group[0].path} is "
                f"{PLACE_WORDS[places[0]]}; a panel takes files of one of them only"
            )
    possible = [kind.name for kind in KINDS if kind.place == places[0]]
    if options.kind and not {*possible, ALL} & {*options.kind}:
        raise UserError(
            f"{group[0].path} is {PLACE_WORDS[places[0]]}; found --kind "
            f"{' '.join(options.kind)}, expected {' or '.join(possible)}"
        )
    return places[0]


def _orders(
    group: list[Surface], place: Place, options: argparse.Namespace
) -> Iterator[tuple[Kind, list[str], list[str]]]:
    """Yield each figure's kind, metrics and splits: columns one by one, or together."""
    surface, kinds = group[0], [kind for kind in KINDS if kind.place == place]
    if options.panel:
        kinds = [kind for kind in kinds if kind.tile or kind.takes_several]
    singles = [kind for kind in kinds if kind.num_metrics == 1]
    splits = options.split or surface.splits[:1]
    metrics = options.metric or surface.metrics[:1]
    for some in [splits] if options.panel else [[split] for split in splits]:
        for metric in metrics:
            yield from ((k, [metric], some) for k in _asked(singles, surface, metric, options))
    for kind in _asked([k for k in kinds if k not in singles], surface, "", options):
        metrics = options.metric or surface.metrics[: kind.num_metrics or None]
        step = kind.num_metrics or len(metrics)
        for k in range(0, len(metrics), step):
            yield kind, metrics[k : k + step], options.split or surface.splits


def _asked(
    kinds: list[Kind], surface: Surface, metric: str, options: argparse.Namespace
) -> Sequence[Kind]:
    """Return which kinds are drawn of a column, in the order of the table."""
    named = [kind for kind in kinds if kind.name in (options.kind or ())]
    if metric in POINT_COLUMNS:  # noted by the run, not a function of the plane: no lines
        wrong = [kind.name for kind in named if not kind.has_records]
        if wrong:
            raise UserError(
                f"{metric} is no function of the plane; found --kind {wrong[0]}, expected "
                f"{RECORD_KIND}"
            )
        return named or [kind for kind in kinds if kind.name == RECORD_KIND]
    if options.kind and ALL not in options.kind:
        return named
    if options.watch is not None and not options.kind:
        return [kind for kind in kinds if kind.is_watched]
    unasked = ("default", "all") if options.kind else ("default",)
    return [kind for kind in kinds if kind.when in unasked and kind.fits(surface)]


def _figure(kind: Kind, drawing: Drawing) -> Figure:
    if kind.figure:
        return kind.figure(drawing)
    (metric,) = drawing.metrics
    surfaces, look = drawing.surfaces, drawing.look
    columns = dict.fromkeys(column_named(surfaces[0], metric, split) for split in drawing.splits)
    rows = [[Tile(surface, column) for surface in surfaces] for column in columns]
    flat = [tile for row in rows for tile in row]
    # One file's splits stand side by side, and --rows breaks them anew.
    most = look.paper.most_in_a_row(NARROWEST) if look.paper else MOST_IN_A_ROW
    is_row = 1 in (len(surfaces), len(rows))
    placed = in_rows(flat, look.rows, most) if look.rows or is_row else rows
    shared = [Tile(surface, flat[0].column) for surface in drawing.shared]
    return panel_figure(placed, kind.name, look, panel_scale(shared, look) if shared else None)
