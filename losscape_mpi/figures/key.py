"""One legend for all plots of a sheet."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from matplotlib.artist import Artist

from losscape_mpi.figures.sheet import Sheet
from losscape_mpi.figures.style import text_size

LETTER_WIDTH = 0.54  # of a letter's size
MARK_LETTERS = 8  # that a mark and the space around it take


def write_key(sheet: Sheet, entries: Iterable[Artist]) -> None:
    """Write the entries below all plots, those of the same words once."""
    found: dict[str, Artist] = {}
    for entry in entries:
        found.setdefault(str(entry.get_label()), entry)
    if not found:
        return
    size = text_size("legend.fontsize")
    letters = int(sheet.get_figwidth() * 72 / (LETTER_WIDTH * size))
    for entry in found.values():
        entry.set_label(textwrap.fill(str(entry.get_label()), max(8, letters - MARK_LETTERS)))
    fit = letters // (max(map(len, found)) + MARK_LETTERS)
    columns = min(max(fit, 1), 2 if len(found) == 4 else 3)
    style: dict[str, Any] = {"borderaxespad": 0.2, "frameon": False}
    style["ncols"] = min(columns, len(found))
    sheet.legend(handles=list(found.values()), loc="outside lower center", **style)
