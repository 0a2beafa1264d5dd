"""One legend for all plots of a sheet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from matplotlib.artist import Artist

from losscape_mpi.figures.sheet import Sheet
from losscape_mpi.figures.style import text_size

TWO_COLUMNS = 60.0  # sizes of a letter of width, from which two entries stand side by side
SHORT = 20  # letters of an entry that always has room beside another


def write_key(sheet: Sheet, entries: Iterable[Artist]) -> None:
    """Write the entries below all plots, those of the same words once."""
    found: dict[str, Artist] = {}
    for entry in entries:
        found.setdefault(str(entry.get_label()), entry)
    if not found:
        return
    is_wide = sheet.get_figwidth() * 72 > TWO_COLUMNS * text_size("legend.fontsize")
    columns = 3 if max(map(len, found)) < SHORT else 2 if is_wide else 1
    style: dict[str, Any] = {"borderaxespad": 0.2, "frameon": False}
    style["ncols"] = min(columns, len(found))
    sheet.legend(handles=list(found.values()), loc="outside lower center", **style)
