"""From surfaces and options to named figures, for `losscape_mpi.render`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from losscape_mpi.errors import UserError
from losscape_mpi.figures.column import POINT_COLUMNS, column_named
from losscape_mpi.figures.layout import Layout
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.panel import map_figure, panel_figure, shared_scale
from losscape_mpi.figures.profile import profile_figure, profile_scales
from losscape_mpi.figures.tile import Tile, check_comparable, in_rows
from losscape_mpi.figures.trajectory import trajectory_figure
from losscape_mpi.render_options import MAPS, look_of
from losscape_mpi.store.surface import Surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELLS = ("heatmap", "map")
ALL_MAPS = (*MAPS, "heatmap", "map", "trajectory")


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
    is_line = _are_lines(group, options)
    stem = group[0].path.stem + ("_panel" if options.panel else "")
    for scale in ("linear", "log") if options.scale == "both" else (options.scale,):
        look = look_of(options, scale)
        suffix = "" if scale == "auto" else f"_{scale}"
        draw = _profiles if is_line else _panels if options.panel else _maps
        for name, figure in draw(group, every, look, options):
            yield f"{stem}{name}{suffix}", figure


def layout_figures(
    layout: Layout, surfaces: dict[str, Surface], options: argparse.Namespace
) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of a layout with their kinds.

    Args:
        layout: The panel.
        surfaces: By file name.
        options: Of the command line; what they say goes before what the layout says.
    """
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
            column = column_named(
                surface, layout.metric, place.split or layout.split or surface.splits[0]
            )
            rows[-1].append(Tile(surface, column, place.title, place.subtitle))
    for kind in options.kind or layout.kind:
        yield kind, panel_figure(rows, kind, look)


def _are_lines(group: list[Surface], options: argparse.Namespace) -> bool:
    """Return whether profiles are drawn: a file with one point along an axis is a profile."""
    lines = [s for s in group if s.is_line or min(s.status.shape) == 1]
    if lines and len(lines) < len(group):
        raise UserError(
            f"{lines[0].path} is a 1-D profile; a panel takes 2-D surfaces only, or profiles only"
        )
    possible = ["profile"] if lines else list(ALL_MAPS)
    if options.kind and not {*possible, "all"} & {*options.kind}:
        raise UserError(
            f"{group[0].path} is {'1-D' if lines else '2-D'}; found --kind "
            f"{' '.join(options.kind)}, expected {' or '.join(possible)}"
        )
    return bool(lines)


def _profiles(
    group: list[Surface], every: list[Surface], look: Look, options: argparse.Namespace
) -> Iterator[tuple[str, Figure]]:
    chosen = "".join(f"_{name}" for name in [*options.split, *options.metric])
    metrics, splits = options.metric or group[0].metrics, options.split or group[0].splits
    lines = [s for s in every if s.is_line or min(s.status.shape) == 1]
    scales = profile_scales(lines, metrics, splits, look) if options.share else None
    yield f"{chosen}_profile", profile_figure(group, metrics, splits, look, scales)


def _maps(
    group: list[Surface], every: list[Surface], look: Look, options: argparse.Namespace
) -> Iterator[tuple[str, Figure]]:
    (surface,) = group
    for split in options.split or surface.splits[:1]:
        for metric in options.metric or surface.metrics[:1]:
            column = column_named(surface, metric, split)
            names = [split] * bool(options.split) + [metric] * bool(options.metric)
            chosen = "".join(f"_{name}" for name in names)
            scale = None
            if options.share:
                planes = [s for s in every if not s.is_line and min(s.status.shape) > 1]
                tiles = [Tile(s, column) for s in planes]
                check_comparable(tiles)
                scale = shared_scale(tiles, look)
            for kind in _kinds(surface, column, options):
                name = f"{chosen}_{kind}"
                if kind == "trajectory":
                    yield name, trajectory_figure(surface, column, look, scale)
                else:
                    yield name, map_figure([surface], kind, column, look, scale)


def _panels(
    group: list[Surface], _every: list[Surface], look: Look, options: argparse.Namespace
) -> Iterator[tuple[str, Figure]]:
    """Yield one panel for each metric: the files side by side, several splits below each other."""
    splits = options.split or group[0].splits[:1]
    for metric in options.metric or group[0].metrics[:1]:
        columns = dict.fromkeys(column_named(group[0], metric, split) for split in splits)
        rows = [[Tile(surface, column) for surface in group] for column in columns]
        flat = [tile for row in rows for tile in row]
        # One file's splits stand side by side, and --rows breaks them anew.
        placed = in_rows(flat, look.rows) if look.rows or 1 in (len(group), len(rows)) else rows
        chosen = "".join(f"_{name}" for name in [*options.split, *[metric] * bool(options.metric)])
        for kind in _kinds(group[0], next(iter(columns)), options):
            if kind != "trajectory":
                yield f"{chosen}_{kind}", panel_figure(placed, kind, look)


def _kinds(surface: Surface, column: str, options: argparse.Namespace) -> Sequence[str]:
    """Return the kinds of map to draw of a column."""
    kinds = [kind for kind in ALL_MAPS if kind in (options.kind or ())]
    if column in POINT_COLUMNS:  # noted by the run, not a function of the plane: no lines
        wrong = [kind for kind in kinds if kind not in CELLS]
        if wrong:
            raise UserError(
                f"{column} is no function of the plane; found --kind {wrong[0]}, expected map"
            )
        return kinds or ["map"]
    path = ["trajectory"] * bool(surface.trajectories)
    if options.watch is not None and not options.kind:
        return ["filled"]
    if not options.kind:
        return [*MAPS, *path]
    return [*MAPS, "heatmap", *path] if "all" in options.kind else kinds
