"""What a legend must explain of maps, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from matplotlib.patches import Patch

from losscape_mpi.figures.field import Field
from losscape_mpi.figures.key import write_key
from losscape_mpi.figures.kinds import Kind
from losscape_mpi.figures.map.resolution import unresolved_legend
from losscape_mpi.figures.marks import legend_below, missing_legend
from losscape_mpi.figures.scale import Scale
from losscape_mpi.figures.sheet import Sheet
from losscape_mpi.figures.style import text_size


def entries(field: Field, kind: Kind, scale: Scale) -> list[Patch]:
    """Return what a legend must explain of a tile."""
    unresolved = unresolved_legend(field, scale) if kind.has_lines else []
    return missing_legend(field.missing, field.whole) + unresolved


def explain(
    sheet: Sheet,
    places: Sequence[Any],
    every: Sequence[list[Patch]],
    kind: Kind,
    is_letter: bool,
) -> None:
    """Add a legend to each tile, or one for all where they are too narrow for their own."""
    if is_letter:
        for entry in chain(*every if len(every) > 1 else ()):
            entry.set_label(str(entry.get_label()).partition(" (")[0])  # counts differ
        write_key(sheet, chain(*every))
        return
    for axes, some in zip(places, every, strict=True):
        gap = 0.2 if kind.is_solid else 3.6
        legend_below(axes, some, gap * text_size("font.size"))
