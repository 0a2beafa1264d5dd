"""What a user may choose about a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Look:
    """How a column is drawn.

    Attributes:
        scale: auto, linear or log.
        clip: Largest value shown; None chooses.
        size: Width and height in inches; None chooses.
    """

    scale: Literal["auto", "linear", "log"] = "auto"
    clip: float | None = None
    size: tuple[float, float] | None = None
