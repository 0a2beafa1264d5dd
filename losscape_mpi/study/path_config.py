"""The settings of a training path: checkpoints as the places of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from losscape_mpi.study.section import Section


class PathConfig(Section):
    """The checkpoints of a training, in place of a plane and a grid."""

    checkpoints: Path | Annotated[list[Path], Field(min_length=1)] = Field(
        description="a folder of checkpoints, or a list in order of time"
    )
    axis: Literal["auto", "epoch", "step", "checkpoint"] = Field(
        "auto",
        description="what tells the checkpoints apart: the epoch or the step that they hold, or "
        "their number; auto takes the first of these that all have, in rising order",
    )
