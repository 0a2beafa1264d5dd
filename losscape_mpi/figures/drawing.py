"""What one figure is to show: handed to the function of its kind (`kinds.KINDS`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from losscape_mpi.figures.look import Look
from losscape_mpi.store.surface import Surface


@dataclass(frozen=True, eq=False)
class Drawing:
    """The wishes of one figure.

    Attributes:
        surfaces: One surface, or those of a panel in reading order.
        metrics: Quantities such as "loss", at least one; one alone for a kind that draws a column.
        splits: Such as "train", at least one.
        look: Scale, limits, size and style.
        shared: Surfaces whose values set the scale; empty where the figure has its own.
    """

    surfaces: Sequence[Surface]
    metrics: Sequence[str]
    splits: Sequence[str]
    look: Look
    shared: Sequence[Surface] = field(default=())
