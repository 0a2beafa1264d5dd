"""The settings of a plane: which directions span it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from losscape_mpi.study.section import Section


class PlaneConfig(Section):
    """The directions that span the plane through the trained parameters."""

    kind: Literal["random", "file"] = Field(
        "random", description="random: Gaussian directions by seed; file: read from path"
    )
    path: Path | None = Field(
        None, description="direction file of kind file (the 2018 tool's .h5 layout)"
    )
    normalize: Literal["filter", "layer", "weight", "dfilter", "dlayer", "none"] = Field(
        "filter", description="how a Gaussian direction is scaled (not used by kind file)"
    )
    ignore: Literal["biasbn", "none"] = Field(
        "biasbn",
        description="biasbn: directions are 0 on biases and norm layers; none: Gaussian there too",
    )
    seed: int = Field(0, ge=0, description="seed of the directions; another seed, another plane")

    @model_validator(mode="after")
    def _path_with_file(self) -> PlaneConfig:
        if (self.kind == "file") != (self.path is not None):
            raise ValueError("expected a path with kind: file, and only there")
        return self
