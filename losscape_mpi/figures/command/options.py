"""The options of `losscape_mpi.render`, and how their texts are read."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from losscape_mpi.errors import UserError
from losscape_mpi.figures.command.values import (
    read_colormap,
    read_levels,
    read_limits,
    read_names,
    read_number,
    read_pair,
    read_size,
)
from losscape_mpi.figures.kinds import KINDS, kind_names
from losscape_mpi.figures.look import Look, ScaleName
from losscape_mpi.figures.preset import PRESETS, preset_names, preset_of
from losscape_mpi.figures.style import read_style
from losscape_mpi.store.exchange.imports import parse_axes
from losscape_mpi.study.option import read_count, read_seconds

PICTURES = ("png", "pdf", "svg")
MESHES = ("vtp", "obj", "stl")
TABLES = ("csv", "npz")
MOVIES = ("gif", "mp4")
DEFAULT_DPI = 200
DESCRIPTION = """\
Draw figures from surface files, ours or another tool's: of a 2-D file NAME_contour.png,
NAME_filled.png and NAME_surface.png, of a 1-D file NAME_profile.png, of a training path
NAME_curve.png. A split, metric or scale that is asked for by name becomes part of the name."""
WITH_NUMBERS = ("--limits", "--levels", "--view", "--clip", "--axes")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add all options of the command to its parser."""
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="surface file, ours or another tool's"
    )
    text = "coordinates of both axes, or of alpha,beta, for a file that holds none"
    parser.add_argument("--axes", type=parse_axes, metavar="MIN:MAX:NUM", help=text)
    _add_what(parser.add_argument_group("what is drawn").add_argument)
    _add_look(parser.add_argument_group("how it looks").add_argument)
    _add_output(parser.add_argument_group("what is written").add_argument)


def read_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Return the checked options of a command line.

    Args:
        parser: Of the command, with all options.
        argv: The words after the command.

    Raises:
        UserError: If an option is unknown, has no valid value, or contradicts another.
    """
    options = parser.parse_args(_joined(argv))
    if bool(options.files) == bool(options.layout):
        raise UserError(
            f"found {len(options.files)} files and {'a' if options.layout else 'no'} --layout; "
            f"expected FILE or --layout FILE; see {parser.prog} --help"
        )
    if options.clip is not None and options.limits is not None:
        raise UserError("found --clip and --limits, expected one of them")
    if options.title is not None and options.no_title:
        raise UserError("found --title and --no-title, expected one of them")
    if options.paper and options.movie:
        raise UserError("found --paper with --movie, expected one of them: a movie has its size")
    if options.watch is not None and (len(options.files) != 1 or options.movie or options.export):
        raise UserError("found --watch with several files or a movie; expected one FILE")
    return options


def look_of(options: argparse.Namespace, scale: ScaleName) -> Look:
    """Return the look that the options ask for."""
    return Look(
        scale=scale,
        clip=options.clip,
        size=options.size,
        limits=options.limits,
        levels=options.levels,
        view=options.view,
        rows=options.rows,
        title=options.title,
        blocks=options.watch is not None,
        samples=options.samples,
        style=style_of(options),
        paper=preset_of(options.paper) if options.paper else None,
        label=options.label,
        has_title=not options.no_title and (not options.paper or options.title is not None),
        has_caption=not options.no_caption,
        has_color_bar=not options.no_colorbar,
    )


def style_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of matplotlib: of the preset, replaced by the style file's, by --cmap."""
    style = dict(preset_of(options.paper).style) if options.paper else {}
    style |= read_style(options.style) if options.style else {}
    return style | ({"image.cmap": options.cmap} if options.cmap else {})


def _add_what(add: Callable[..., argparse.Action]) -> None:
    add(
        "--kind",
        type=read_names(*kind_names()),
        metavar="KIND,...",
        help=f"{', '.join(_kind_words())}, all (default: what suits the file)",
    )
    text = "loss (default), accuracy, or any column: loss_stderr, seconds, attempts, worker"
    add("--metric", type=read_names(), default=[], metavar="NAME,...", help=text)
    add(
        "--split",
        type=read_names(),
        default=[],
        metavar="NAME,...",
        help="default: the file's first",
    )
    add("--panel", action="store_true", help="all files (and splits) side by side on one scale")
    add("--rows", type=read_count, metavar="N", help="rows of a panel")
    add("--share", action="store_true", help="a figure for each file, the same scale for all")
    add("--layout", type=Path, metavar="FILE", help="a panel that a YAML file describes")


def _kind_words() -> list[str]:
    return [f"{kind.name} ({kind.words})" for kind in KINDS]


def _add_look(add: Callable[..., argparse.Action]) -> None:
    add(
        "--scale",
        default="auto",
        choices=["auto", "linear", "log", "symlog", "both"],
        help="auto: log for positive values that span more than a factor of 100, in a panel linear "
        "where that tells more; both: linear, log",
    )
    add(
        "--clip", type=read_number, metavar="X", help="largest value shown (inf: all); on the label"
    )
    add("--limits", type=read_limits, metavar="LOW,HIGH", help="smallest and largest value shown")
    add("--levels", type=read_levels, metavar="N|A,B,..", help="contour lines: how many, or which")
    add("--view", type=read_pair, metavar="ELEV,AZIM", help="3-D view in degrees (default: 34,-58)")
    add("--samples", action="store_true", help="dot the computed points on the maps")
    add("--title", metavar="TEXT", help="goes before the title made from the file")
    add("--paper", choices=preset_names(), help=f"for print: {_preset_words()}; caption in a file")
    add("--no-title", action="store_true", help="no title above the figure")
    add("--no-caption", action="store_true", help="no small print, and no file of it")
    add("--no-colorbar", action="store_true", help="maps without a colour bar")
    add("--cmap", type=read_colormap, metavar="NAME", help="colours of the values (viridis)")
    add("--label", metavar="TEXT", help="what the values are called (default: training loss, ...)")
    add("--style", type=Path, metavar="FILE", help="settings of matplotlib: YAML, or .mplstyle")
    add("--size", type=read_size, metavar="WxH", help="inches, for example 6x5")
    add("--dpi", type=read_count, metavar="N", help=f"pixels per inch (default: {DEFAULT_DPI})")


def _preset_words() -> str:
    return ", ".join(f"{preset.name} ({preset.width:g} in)" for preset in PRESETS)


def _add_output(add: Callable[..., argparse.Action]) -> None:
    endings = (*PICTURES, *MESHES, *TABLES, *MOVIES)
    add(
        "--format",
        type=read_names(*endings),
        metavar="NAME,...",
        help=f"figures: {', '.join(PICTURES)} (default: png); meshes: {', '.join(MESHES)}; "
        f"tables: {', '.join(TABLES)}; movies: {', '.join(MOVIES)}",
    )
    add("--page", action="store_true", help="one HTML page with all files, to turn and to read")
    add("--movie", choices=["orbit", "series"], help="a camera flight, or the files as frames")
    add("--export", choices=["2018"], help="the file in the layout of the 2018 tool")
    text = "draw again every so many seconds until no point is missing, or Ctrl-C"
    add("--watch", type=read_seconds, metavar="SECONDS", help=text)
    add("--out", type=Path, metavar="DIR", help="folder of the figures (default: the file's)")


def _joined(argv: Sequence[str]) -> list[str]:
    """Return the words with `--limits -1,5` as one word: argparse takes -1,5 for an option."""
    words: list[str] = []
    for word in argv:
        if words and words[-1] in WITH_NUMBERS and re.match(r"-[\d.]", word):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words
