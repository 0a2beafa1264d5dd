"""The axes of curves over the checkpoints of a path: their names, and the scale of the gaps."""

from __future__ import annotations

import re

import numpy as np
from matplotlib.axes import Axes

from losscape_mpi.figures.font import readable
from losscape_mpi.figures.scale import number_text
from losscape_mpi.figures.style import text_size
from losscape_mpi.figures.text import short

MOST_NAMED = 12  # checkpoints whose names fit under the axis
FAR_GAP = 100.0  # largest over smallest gap from which their axis is logarithmic


def set_gap_scale(axes: Axes, gaps: np.ndarray) -> None:
    """Make the axis of the gaps logarithmic on both sides of 0 where their sizes differ much."""
    sizes = np.abs(gaps[np.isfinite(gaps) & (gaps != 0)])
    if len(sizes) == 0 or sizes.max() < FAR_GAP * sizes.min():
        return
    decade = float(10.0 ** np.floor(np.log10(sizes.max())))
    axes.set_yscale("symlog", linthresh=decade / 1000, linscale=0.5)
    ticks = [-decade, -decade / 100, 0.0, decade / 100, decade]
    axes.set_yticks(ticks, [number_text(tick) for tick in ticks])
    axes.minorticks_off()


def name_checkpoints(axes: Axes, labels: list[str]) -> None:
    """Write what tells the checkpoints apart below them: 0, 5, 10 of epoch_0000, epoch_0005."""
    every = -(-len(labels) // MOST_NAMED)
    found = [match for match in (re.fullmatch(r"(.*?)(\d+)", label) for label in labels) if match]
    stems = {match[1] for match in found}
    is_counted = len(found) == len(labels) and len(stems) == 1
    names = [str(int(match[2])) for match in found] if is_counted else labels
    stem = short(stems.pop(), 40).strip(" _-") if is_counted else ""
    shown = [readable(short(name, 24)) for name in names[::every]]
    axes.set_xticks(range(0, len(labels), every), shown, parse_math=False)
    axes.set_xlabel(f"checkpoint: {stem}" if stem else "checkpoint", fontsize=text_size("small"))
