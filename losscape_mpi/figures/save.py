"""Saving figures: whole files, and the same bytes for the same surface."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from losscape_mpi.figures.style import plot_settings
from losscape_mpi.files import replaced

# Formats stamp the time of writing unless it is taken away.
METADATA: dict[str, dict[str, Any]] = {
    "png": {},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}


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
    kind = path.suffix[1:]
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # a PDF tells of each glyph at INFO
    advice = "choose another folder by --out"
    with replaced(path, advice) as temporary, plot_settings(style or {}):
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=METADATA[kind])
