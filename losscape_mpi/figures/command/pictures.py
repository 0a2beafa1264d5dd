"""Which picture files a figure becomes, for `losscape_mpi.render`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from losscape_mpi.figures.command.options import DEFAULT_DPI, PICTURES, style_of
from losscape_mpi.figures.preset import preset_of
from losscape_mpi.figures.save import save_caption, save_figure
from losscape_mpi.figures.sheet import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)


def draws_figures(options: argparse.Namespace) -> bool:
    """Return whether figures are asked for: not where only a page, a mesh or a table is."""
    others = options.page or options.movie or options.export or options.format
    asked = options.kind or options.layout or options.paper or _pictures(options)
    return bool(asked) or not others


def save_all(figure: Figure, base: Path, options: argparse.Namespace) -> Iterator[Path]:
    """Save a figure in each format that is asked for, and the caption that it has no room for.

    Args:
        figure: What to draw.
        base: Where, without an ending.
        options: Of the command line.

    Raises:
        UserError: If a file cannot be written.
    """
    style = style_of(options)
    dpi = options.dpi or style.get("savefig.dpi", DEFAULT_DPI)
    dpi = DEFAULT_DPI if dpi == "figure" else int(dpi)
    usual = preset_of(options.paper).ending if options.paper else PICTURES[0]
    for ending in _pictures(options) or [usual]:
        path = base.with_name(f"{base.name}.{ending}")
        save_figure(figure, path, dpi, style)
        yield path
    if isinstance(figure, Sheet) and figure.is_aside:
        path = base.with_name(f"{base.name}_caption.txt")
        if not options.paper:
            logger.info("%s: too small for title and small print, which stand in %s", base, path)
        save_caption(figure, path)
        yield path


def _pictures(options: argparse.Namespace) -> list[str]:
    return [name for name in dict.fromkeys(options.format or []) if name in PICTURES]
