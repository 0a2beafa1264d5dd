"""Saving figures: whole files, and the same bytes for the same surface."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from matplotlib.figure import Figure

from losscape_mpi.figures.sheet import Sheet
from losscape_mpi.figures.style import plot_settings
from losscape_mpi.files import replaced

# Formats stamp the time of writing unless it is taken away.
METADATA: dict[str, dict[str, Any]] = {
    "png": {},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}

ADVICE = "choose another folder by --out"


def save_figure(
    figure: Figure, path: Path, dpi: int = 200, style: Mapping[str, Any] | None = None
) -> None:
    """Save a figure under a name that ends in .png, .pdf or .svg: whole, or not at all.

    Args:
        figure: What to draw.
        path: Where; its folder is made if it is missing.
        dpi: Pixels per inch of pictures, also of those inside a vector file.
        style: The settings of matplotlib that it was made with.

    Raises:
        UserError: If the file cannot be written.
    """
    kind, words = path.suffix[1:], _words(figure, path.suffix[1:])
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # a PDF tells of each glyph at INFO
    with replaced(path, ADVICE) as temporary, plot_settings(style or {}):
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=METADATA[kind] | words)
        if kind == "svg" and isinstance(figure, Sheet):
            _describe(temporary, figure)


def save_caption(sheet: Sheet, path: Path) -> None:
    """Save the caption of a figure as text, a paragraph in a line.

    Raises:
        UserError: If the file cannot be written.
    """
    with replaced(path, ADVICE) as temporary:
        temporary.write_text(sheet.caption + "\n", encoding="utf-8")


def _words(figure: Figure, kind: str) -> dict[str, str]:
    """Return title and caption as a format's metadata calls them."""
    if not isinstance(figure, Sheet) or not figure.paragraphs:
        return {}
    names = {"png": "Description", "pdf": "Subject", "svg": "Description"}
    return {"Title": figure.heading, names[kind]: figure.caption}


def _describe(path: Path, sheet: Sheet) -> None:
    """Write the caption where a screen reader looks for it: matplotlib writes the title alone."""
    text = path.read_text("utf-8")
    words = escape(sheet.caption.replace("\n", " "))
    path.write_text(text.replace("</title>", f"</title>\n <desc>{words}</desc>", 1), "utf-8")
