"""The sections of a training recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from losscape_mpi.study.section import Section


class MilestonesConfig(Section):
    """A learning rate that is multiplied by a factor after some epochs."""

    milestones: Annotated[list[PositiveInt], Field(min_length=1)] = Field(
        description="numbers of finished epochs after which the rate changes, e.g. [150, 225]"
    )
    factor: float = Field(0.1, gt=0, description="what the rate is multiplied by each time")


class AugmentConfig(Section):
    """Random changes of every training image, drawn anew for each step."""

    crop: NonNegativeInt = Field(
        0, description="pixels of black border that an image is padded by and cropped from again"
    )
    flip: bool = Field(False, description="whether half of the images are mirrored left to right")


class LabelNoiseConfig(Section):
    """Training labels that are replaced by wrong ones."""

    fraction: float = Field(gt=0, le=1, description="share of the training samples")
    seed: int = Field(0, ge=0, description="seed of the choice of samples and of wrong labels")


class PathConfig(Section):
    """Checkpoints of the way that a training takes, the initial and the final one included."""

    folder: Path = Field(
        description="folder of the checkpoints, relative to the current folder; of this training "
        "alone"
    )
    every: PositiveInt = Field(1, description="how many units lie between two checkpoints")
    unit: Literal["epoch", "step"] = Field("epoch", description="epoch or step")
