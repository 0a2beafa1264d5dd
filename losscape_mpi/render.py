"""Command: figures from surface files. Needs no torch, no MPI and no GPU."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from losscape_mpi.command import CommandParser, run_command
from losscape_mpi.errors import UserError
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.panel import map_figure
from losscape_mpi.figures.profile import profile_figure
from losscape_mpi.figures.save import save_figure
from losscape_mpi.store.exchange import looks_like_2018, read_2018_surface
from losscape_mpi.store.reader import read_surface
from losscape_mpi.store.surface import Surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAPS = ("contour", "filled", "surface")
DESCRIPTION = """\
Draw figures from surface files, ours or the 2018 tool's: of a 2-D file NAME_contour.png,
NAME_filled.png and NAME_surface.png, of a 1-D file NAME_profile.png. A split, metric or scale
that is asked for by name becomes part of the figure's name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Draw what the command line asks for, print the written paths, return the exit code.

    Raises:
        UserError: If a file cannot be read or drawn, or a figure cannot be written.
    """
    options = _parser().parse_args(argv)
    surfaces = [load(path) for path in options.files]
    written: set[Path] = set()
    for group in [surfaces] if options.panel else [[surface] for surface in surfaces]:
        for name, figure in _figures(group, options):
            for ending in dict.fromkeys(options.format):
                path = (options.out or group[0].path.parent) / f"{name}.{ending}"
                if path in written:
                    raise UserError(f"two files would be drawn as {path}; draw one at a time")
                save_figure(figure, path, options.dpi)
                written.add(path)
                print(path, flush=True)  # noqa: T201
    return 0


def load(path: Path) -> Surface:
    """Return the surface of a file of ours or of the 2018 tool, told apart by their content."""
    return read_2018_surface(path) if looks_like_2018(path) else read_surface(path)


def _figures(group: list[Surface], options: argparse.Namespace) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of one file, or of one panel, with their names."""
    kinds = _kinds(group, options)
    stem = group[0].path.stem + ("_panel" if options.panel else "")
    for scale in ("linear", "log") if options.scale == "both" else (options.scale,):
        look = Look(scale, options.clip, options.size)
        suffix = "" if scale == "auto" else f"_{scale}"
        if kinds == ["profile"]:
            chosen = "".join(f"_{name}" for name in [*options.split, *options.metric])
            metrics, splits = options.metric or group[0].metrics, options.split or group[0].splits
            figure = profile_figure(group[0], metrics, splits, look)
            yield f"{stem}{chosen}_profile{suffix}", figure
            continue
        for column, chosen in _columns(group[0], options):
            for kind in kinds:
                yield f"{stem}{chosen}_{kind}{suffix}", map_figure(group, kind, column, look)


def _kinds(group: list[Surface], options: argparse.Namespace) -> list[str]:
    """Return the kinds of figure to draw; a file with one point along an axis is a profile."""
    lines = [s for s in group if s.is_line or min(s.status.shape) == 1]
    if lines and options.panel:
        raise UserError(f"{lines[0].path} is a 1-D profile; a panel takes 2-D surfaces only")
    possible = ["profile"] if lines else list(MAPS)
    kinds = [kind for kind in possible if kind in options.kind or "all" in options.kind]
    if not kinds:
        raise UserError(
            f"{group[0].path} is {'1-D' if lines else '2-D'}; found --kind "
            f"{' '.join(options.kind)}, expected {' or '.join(possible)}"
        )
    return kinds


def _columns(surface: Surface, options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Yield the columns of a map with the part of the figure's name that they ask for."""
    for split in options.split or surface.splits[:1]:
        for metric in options.metric or surface.metrics[:1]:
            names = [split] * bool(options.split) + [metric] * bool(options.metric)
            yield f"{split}/{metric}", "".join(f"_{name}" for name in names)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser("python -m losscape_mpi.render", description=DESCRIPTION)
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="surface file")
    kinds = (*MAPS, "profile", "all")
    add(
        "--kind",
        type=_names(*kinds),
        default=["all"],
        metavar="KIND,...",
        help=f"{', '.join(kinds)} (default: all that the file's dimension has)",
    )
    add(
        "--scale",
        default="auto",
        choices=["auto", "linear", "log", "both"],
        help="auto: log for positive values that span more than a factor of 100",
    )
    add("--metric", type=_names(), default=[], metavar="NAME,...", help="loss (default), accuracy")
    add("--split", type=_names(), default=[], metavar="NAME,...", help="default: the file's first")
    endings = ("png", "pdf", "svg")
    add(
        "--format",
        type=_names(*endings),
        default=["png"],
        metavar="NAME,...",
        help=f"{', '.join(endings)} (default: png)",
    )
    add("--panel", action="store_true", help="all files side by side on one colour scale")
    add("--clip", type=_limit, metavar="X", help="largest value shown (inf: all); on the label")
    add("--out", type=Path, metavar="DIR", help="folder of the figures (default: the file's)")
    add("--dpi", type=_positive, default=200, metavar="N", help="pixels per inch (default: 200)")
    add("--size", type=_size, metavar="WxH", help="inches, for example 6x5")
    return parser


def _names(*known: str) -> Callable[[str], list[str]]:
    """Return the reader of a list such as contour,surface; with spaces it would swallow a FILE."""

    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if not name or (known and name not in known):
                expected = ", ".join(known) or "names separated by commas"
                raise argparse.ArgumentTypeError(f"found {name!r}, expected {expected}")
        return names

    return read


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number above 0")
    return int(text)


def _limit(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number or inf")
    return value


def _size(text: str) -> tuple[float, float]:
    try:
        width, height = (float(part) for part in text.split("x"))
    except ValueError:
        width = height = 0.0
    if not (1 <= width <= 100 and 1 <= height <= 100):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected inches such as 6x5")
    return width, height


if __name__ == "__main__":
    run_command(main)
