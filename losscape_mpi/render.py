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
from losscape_mpi.figures.command.figures import figures_of, layout_figures, read_layout
from losscape_mpi.figures.command.options import DESCRIPTION, add_options, read_options
from losscape_mpi.figures.command.pictures import draws_figures, save_all
from losscape_mpi.figures.command.watch import watch
from losscape_mpi.figures.layout import Layout
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
    layout = read_layout(options)
    surfaces = [] if layout else [load(path, options.axes) for path in options.files]
    with _blaming(options.style):
        for path in _written(surfaces, options, layout):
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


def _written(
    surfaces: list[Surface], options: argparse.Namespace, layout: Layout | None = None
) -> Iterator[Path]:
    """Write everything and yield the paths, each as soon as it is there."""
    written: set[Path] = set()
    for base, figure in _figures(surfaces, options, layout):
        for path in save_all(figure, base, options):
            if path in written:
                raise UserError(f"two files would be drawn as {path}; draw one at a time")
            written.add(path)
            yield path
    if surfaces:
        yield from write_exports(surfaces, options.out, options)


def _draw(options: argparse.Namespace, surface: Surface) -> list[Path]:
    return list(_written([surface], options))


def _figures(
    surfaces: list[Surface], options: argparse.Namespace, layout: Layout | None
) -> Iterator[tuple[Path, Figure]]:
    """Yield each figure with the path that it is to be saved under, without its ending."""
    if not draws_figures(options):
        return
    if layout:
        names = dict.fromkeys(str(tile.file) for row in layout.rows for tile in row if tile)
        by_name = {name: load(Path(name), options.axes) for name in names}
        folder = options.out or options.layout.parent
        for kind, figure in layout_figures(layout, by_name, options):
            yield folder / f"{options.layout.stem}_{kind}", figure
        return
    for group in [surfaces] if options.panel else [[surface] for surface in surfaces]:
        for name, figure in figures_of(group, surfaces, options):
            yield (options.out or group[0].path.parent) / name, figure


if __name__ == "__main__":
    run_command(main)
