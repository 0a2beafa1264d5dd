"""Sizes and letters of figures for print and projection: one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

USUAL_LINE = 1.5  # pt, matplotlib's lines.linewidth, for which our widths are made


@dataclass(frozen=True)
class Preset:
    """A figure for one place: no title, letters alone on the axes, the caption in a file beside it.

    Attributes:
        name: What `--paper` calls it.
        words: What it is for.
        width: Of the picture in inches, exactly.
        tallest: Most inches of height; maps are narrower than the picture where that is less.
        font_pt: Size of labels.
        small_pt: Size of the numbers along axes, and of legends.
        line_pt: Width that a usual line of 1.5 pt gets; all lines and marks follow.
        frame_pt: Width of frames and ticks.
        dpi: Pixels per inch, also of those inside a vector file.
        ending: The format, unless one is asked for.
    """

    name: str
    words: str
    width: float
    tallest: float
    font_pt: float
    small_pt: float
    line_pt: float
    frame_pt: float
    dpi: int
    ending: str

    def most_in_a_row(self, letters: float) -> int:
        """Return how many plots stand side by side that need so many sizes of a letter each."""
        return max(1, int(self.width * 72 / self.font_pt / letters))

    @property
    def style(self) -> dict[str, Any]:
        """The settings of matplotlib that make it."""
        small = ("xtick.labelsize", "ytick.labelsize", "legend.fontsize")
        ticks: dict[str, Any] = {}
        for axis in ("xtick", "ytick"):
            ticks |= {f"{axis}.major.size": 0.35 * self.font_pt}
            ticks |= {f"{axis}.minor.size": 0.2 * self.font_pt}
            ticks |= {f"{axis}.major.pad": 0.3 * self.font_pt}
            ticks |= {f"{axis}.major.width": self.frame_pt}
            ticks |= {f"{axis}.minor.width": 0.75 * self.frame_pt}
        return {
            "font.size": self.font_pt,
            "lines.linewidth": self.line_pt,
            "axes.linewidth": self.frame_pt,
            "grid.linewidth": self.frame_pt,
            "axes.labelpad": 0.3 * self.font_pt,
            "savefig.dpi": self.dpi,
            **dict.fromkeys(small, self.small_pt),
            **ticks,
        }


# Columns are those of IEEE's and ICML's pages; a slide's picture is 16:9, with room for its title.
PRESETS = [
    Preset("column", "one column of a paper", 3.3, 9.0, 7, 6, 0.9, 0.5, 600, "pdf"),
    Preset("page", "both columns of a paper", 6.9, 9.0, 7, 6, 0.9, 0.5, 400, "pdf"),
    Preset("slide", "a slide", 10.0, 5.6, 16, 14, 2.4, 1.2, 200, "png"),
]


def preset_names() -> list[str]:
    """Return what `--paper` may be."""
    return [preset.name for preset in PRESETS]


def preset_of(name: str) -> Preset:
    """Return a preset by its name, which must be one of the table's."""
    return next(preset for preset in PRESETS if preset.name == name)
