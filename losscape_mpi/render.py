"""Command: figures from surface files. Needs no torch, no MPI and no GPU."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from losscape_mpi.command import CommandParser, run_command
from losscape_mpi.errors import UserError, first_line
from losscape_mpi.figures.command.export import write_exports
from losscape_mpi.figures.command.figures import figures_of, layout_figures
from losscape_mpi.figures.command.options import (
    DEFAULT_DPI,
    DESCRIPTION,
    PICTURES,
    add_options,
    read_options,
)
from losscape_mpi.figures.command.watch import watch
from losscape_mpi.figures.layout import load_layout
from losscape_mpi.figures.save import save_figure
from losscape_mpi.figures.style import read_style
from losscape_mpi.store.exchange.imports import Axes, read_any
from losscape_mpi.store.surface import Surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def main(argv: Sequence[str] | None = None) -> int:
    """Draw what the command line asks for, print the written paths, return the exit code.

    Raises:
        UserError: If a file cannot be read or drawn, or a figure cannot be written.
    """
    options = read_options(make_parser(), sys.argv[1:] if argv is None else argv)
    if options.watch is not None:
        path = options.files[0]
        watch(path, partial(load, axes=options.axes), partial(_draw, options), options.watch)
        return 0
    surfaces = [] if options.layout else [load(path, options.axes) for path in options.files]
    with _blaming(options.style):
        for path in _written(surfaces, options):
            print(path, flush=True)  # noqa: T201
    return 0


def make_parser() -> CommandParser:
    """Return the parser of the command line."""
    parser = CommandParser(
        "python -m losscape_mpi.render", "%(prog)s FILE [FILE ...] [options]", DESCRIPTION
    )
    add_options(parser)
    return parser


def load(path: Path, axes: Axes | None = None) -> Surface:
    """Return the surface of a file of ours or of another tool, told apart by its content.

    Args:
        path: The file.
        axes: Coordinates of alpha and beta for a file that holds none.

    Raises:
        UserError: If it cannot be read, or holds something else.
    """
    return read_any(path, axes=axes)


@contextmanager
def _blaming(style: Path | None) -> Iterator[None]:
    """Turn what matplotlib raises about a user's settings into one line: LaTeX that is missing."""
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        if style is None:
            raise
        raise UserError(
            f"{style}: matplotlib cannot draw with these settings ({first_line(error)}); correct "
            "them, or leave --style out"
        ) from error


def _written(surfaces: list[Surface], options: argparse.Namespace) -> Iterator[Path]:
    """Write everything and yield the paths, each as soon as it is there."""
    written: set[Path] = set()
    for path, figure in _figures(surfaces, options):
        if path in written:
            raise UserError(f"two files would be drawn as {path}; draw one at a time")
        save_figure(figure, path, *_saving(options))
        written.add(path)
        yield path
    if surfaces:
        yield from write_exports(surfaces, options.out, options)


def _draw(options: argparse.Namespace, surface: Surface) -> list[Path]:
    return list(_written([surface], options))


def _figures(surfaces: list[Surface], options: argparse.Namespace) -> Iterator[tuple[Path, Figure]]:
    """Yield each figure with each path that it is to be saved under."""
    formats = [name for name in dict.fromkeys(options.format or []) if name in PICTURES]
    others = options.page or options.movie or options.export or options.format
    if not formats and others and not options.kind and not options.layout:
        return  # a page, a mesh or a table was asked for, and no figure
    for folder, name, figure in _named_figures(surfaces, options):
        for ending in formats or ["png"]:
            yield (options.out or folder) / f"{name}.{ending}", figure


def _named_figures(
    surfaces: list[Surface], options: argparse.Namespace
) -> Iterator[tuple[Path, str, Figure]]:
    if options.layout:
        layout = load_layout(options.layout)
        names = dict.fromkeys(str(tile.file) for row in layout.rows for tile in row if tile)
        by_name = {name: load(Path(name), options.axes) for name in names}
        for kind, figure in layout_figures(layout, by_name, options):
            yield options.layout.parent, f"{options.layout.stem}_{kind}", figure
        return
    for group in [surfaces] if options.panel else [[surface] for surface in surfaces]:
        for name, figure in figures_of(group, surfaces, options):
            yield group[0].path.parent, name, figure


def _saving(options: argparse.Namespace) -> tuple[int, dict[str, object]]:
    """Return pixels per inch, of the command line or the style, and the style's settings."""
    style = read_style(options.style) if options.style else {}
    dpi = options.dpi or style.get("savefig.dpi", DEFAULT_DPI)
    return (DEFAULT_DPI if dpi == "figure" else int(dpi)), style


if __name__ == "__main__":
    run_command(main)
