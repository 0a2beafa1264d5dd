"""The figure that everything is drawn on: it has a size, and knows its words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from losscape_mpi.figures.look import Look


class Sheet(Figure):
    """A figure with its words, which say the same whether they are drawn or not.

    Attributes:
        heading: The title in one line.
        paragraphs: The caption.
        is_aside: Whether the caption is to stand beside the picture, in a file of its own.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        """Make an empty sheet, as `matplotlib.figure.Figure` does."""
        super().__init__(*args, **settings)
        self.heading = ""
        self.paragraphs: Sequence[str] = ()
        self.is_aside = False

    def put_aside(self, has_caption: bool) -> bool:
        """Take title and small print away, for a file; returns whether there were any."""
        has_words = bool(self.get_suptitle() or self.get_supxlabel())
        self.suptitle("")
        self.supxlabel("")
        self.is_aside |= has_words and has_caption
        return has_words

    @property
    def caption(self) -> str:
        """The caption as one text, a paragraph in a line."""
        return "\n".join(self.paragraphs)


def make_sheet(look: Look, size: tuple[float, float]) -> Sheet:
    """Return an empty sheet, laid out so that no words of different plots meet.

    Args:
        look: Size and preset that were asked for.
        size: Width and height in inches where none was; of a preset the height counts in
            proportion, as a start.
    """
    width, height = look.asked_size or size
    if look.paper and not look.asked_size:
        width, height = look.paper.width, look.paper.width * height / width
    sheet = Sheet(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(sheet)
    return sheet
