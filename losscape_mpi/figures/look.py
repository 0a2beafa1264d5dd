"""What a user may choose about a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from losscape_mpi.figures.preset import Preset

ScaleName = Literal["auto", "linear", "log", "symlog"]
USUAL_LETTER = 10.0  # pt, matplotlib's font.size
UNITS_LETTERS = 33.0  # sizes of a letter that a plot needs for "α (filter-normalised, ‖d‖ = 31.2)"
WIDE = 1.4  # a plot's width over its height, from which the height is the shorter one
Levels = int | tuple[float, ...]


@dataclass(frozen=True)
class Look:
    """How a column is drawn.

    Attributes:
        scale: auto, linear, log or symlog.
        clip: Largest value shown; None chooses.
        size: Width and height in inches; None chooses.
        limits: Smallest and largest value shown; None takes them from the values.
        levels: About how many contour lines, or their values; None chooses.
        view: Elevation and azimuth of the 3-D view in degrees; None chooses.
        rows: Rows of a panel; None chooses.
        title: Heading in place of the one made from the file.
        blocks: Whether points that are not computed take the value of the computed point of the
            coarser grid that they lie next to, drawn as one block: for a run that is going on.
        samples: Whether every computed point is marked.
        style: Settings of matplotlib that replace ours (`style.read_style`), those of `paper` too.
        paper: Width and letters for one place; letters alone on the axes, the caption beside it.
        label: What the values are called, in place of their own words; its scale is added.
        is_alone: Whether no file can stand beside the picture: a movie's words are always drawn.
        has_title: Whether the title is drawn.
        has_caption: Whether there is small print: below the figure, or of `paper` in a file.
        has_color_bar: Whether maps have a colour bar.
    """

    scale: ScaleName = "auto"
    clip: float | None = None
    size: tuple[float, float] | None = None
    limits: tuple[float, float] | None = None
    levels: Levels | None = None
    view: tuple[float, float] | None = None
    rows: int | None = None
    title: str | None = None
    blocks: bool = False
    samples: bool = False
    style: Mapping[str, Any] = field(default_factory=dict)
    paper: Preset | None = None
    label: str | None = None
    is_alone: bool = False
    has_title: bool = True
    has_caption: bool = True
    has_color_bar: bool = True

    @property
    def is_fitted(self) -> bool:
        """Whether a width is given, which everything else has to fit."""
        is_given = self.paper is not None or self.asked_size is not None
        return is_given and not self.is_alone

    def has_letters_alone(self, rows: float = 1, columns: float = 1) -> bool:
        """Return whether plots in rows and columns have no room for the units of their axes."""
        if self.paper or self.asked_size is None or self.is_alone:
            return self.paper is not None
        width, height = self.asked_size
        letter = float(self.style.get("font.size", USUAL_LETTER)) / 72
        return min(width / columns, WIDE * height / rows) < UNITS_LETTERS * letter

    @property
    def asked_size(self) -> tuple[float, float] | None:
        """Width and height in inches that were asked for; None where one is to be chosen."""
        if self.size:
            return self.size
        wanted = self.style.get("figure.figsize")
        return (float(wanted[0]), float(wanted[1])) if wanted else None
