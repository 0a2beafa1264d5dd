"""What `losscape_mpi.render` writes besides figures: page, meshes, tables, movies, 2018 files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from losscape_mpi.errors import UserError
from losscape_mpi.figures.column import column_named
from losscape_mpi.figures.command.options import MESHES, MOVIES, TABLES, look_of
from losscape_mpi.store.surface import Surface


def write_exports(
    surfaces: Sequence[Surface], folder: Path | None, options: argparse.Namespace
) -> Iterator[Path]:
    """Write what the options ask for besides figures, and yield the paths.

    Args:
        surfaces: All files of the command.
        folder: Where; None takes each file's own.
        options: Of the command line.

    Raises:
        UserError: If a surface does not fit a format, or a file cannot be written.
    """
    stems = [surface.path.stem for surface in surfaces]
    if folder and (options.export or options.format) and len({*stems}) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise UserError(f"two files named {twice} would be written to {folder}; take one at a time")
    if options.page:
        from losscape_mpi.figures.page.write import write_page

        path = _path(surfaces[0], folder, "_panel" * (len(surfaces) > 1), "html")
        write_page(surfaces, path)
        yield path
    formats = options.format or []
    for surface in surfaces:
        for ending in (name for name in formats if name in TABLES):
            yield _write_table(surface, _path(surface, folder, "", ending))
        for ending in (name for name in formats if name in MESHES):
            yield from _write_meshes(surface, folder, ending, options)
        if options.export:
            from losscape_mpi.store.exchange.surface import write_2018_surface

            path = _path(surface, folder, f"_{options.export}", "h5")
            write_2018_surface(surface, path)
            yield path
    if options.movie:
        yield from _write_movies(surfaces, folder, options)


def _path(surface: Surface, folder: Path | None, name: str, ending: str) -> Path:
    return (folder or surface.path.parent) / f"{surface.path.stem}{name}.{ending}"


def _write_table(surface: Surface, path: Path) -> Path:
    from losscape_mpi.store.tables import write_csv, write_npz

    {"csv": write_csv, "npz": write_npz}[path.suffix[1:]](surface, path)
    return path


def _write_meshes(
    surface: Surface, folder: Path | None, ending: str, options: argparse.Namespace
) -> Iterator[Path]:
    from losscape_mpi.figures.mesh.write import write_mesh

    scales = ("linear", "log") if options.scale == "both" else (options.scale,)
    for column, chosen in _columns(surface, options):
        for scale in scales:
            suffix = "" if scale == "auto" else f"_{scale}"
            path = _path(surface, folder, f"{chosen}{suffix}", ending)
            write_mesh(surface, column, path, scale, options.clip)
            yield path


def _write_movies(
    surfaces: Sequence[Surface], folder: Path | None, options: argparse.Namespace
) -> Iterator[Path]:
    from losscape_mpi.figures.movie.surfaces import write_orbit, write_series

    if options.scale == "both":
        raise UserError("found --scale both with --movie, expected one scale")
    look = look_of(options, options.scale)
    for ending in [name for name in options.format or [] if name in MOVIES] or ["mp4"]:
        if options.movie == "series":
            for column, chosen in _columns(surfaces[0], options):
                path = _path(surfaces[0], folder, f"{chosen}_series", ending)
                write_series(surfaces, column, path, look)
                yield path
            continue
        for surface in surfaces:
            for column, chosen in _columns(surface, options):
                path = _path(surface, folder, f"{chosen}_orbit", ending)
                write_orbit(surface, column, path, look)
                yield path


def _columns(surface: Surface, options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Yield the chosen columns with the part of the file's name that asks for them."""
    for split in options.split or surface.splits[:1]:
        for metric in options.metric or surface.metrics[:1]:
            names = [split] * bool(options.split) + [metric] * bool(options.metric)
            yield column_named(surface, metric, split), "".join(f"_{name}" for name in names)
