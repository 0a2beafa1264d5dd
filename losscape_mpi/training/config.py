"""The typed recipe of a training, and its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from losscape_mpi.study.config import ProblemConfig
from losscape_mpi.study.load import absolute_paths, apply_overrides, read_yaml, validate
from losscape_mpi.study.section import Section


class MilestonesConfig(Section):
    """A learning rate that is multiplied by a factor after some epochs."""

    milestones: Annotated[list[PositiveInt], Field(min_length=1)] = Field(
        description="numbers of finished epochs after which the rate changes, e.g. [150, 225]"
    )
    factor: float = Field(0.1, gt=0, description="what the rate is multiplied by each time")


class TrainConfig(Section):
    """One training: the network, its data and the settings of plain SGD."""

    problem: ProblemConfig = Field(
        description="as in a study; a checkpoint is the start of the training, its split train "
        "is what the network learns, and every split asked for is measured"
    )
    epochs: PositiveInt = Field(description="passes over the training samples")
    batch_size: PositiveInt = Field(
        128, description="most samples of a step; the steps of an epoch are nearly equal"
    )
    lr: float = Field(0.1, gt=0, description="learning rate at the start")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    nesterov: bool = Field(True, description="Nesterov's form of the momentum")
    weight_decay: float = Field(5e-4, ge=0, description="L2 penalty on all parameters")
    schedule: MilestonesConfig | Literal["constant", "cosine"] = Field(
        "cosine", description="constant, cosine (to 0 at the end), or {milestones, factor}"
    )
    seed: int = Field(0, ge=0, description="seed of the shuffles, and of dropout")
    output: Path = Field(description="the checkpoint, .safetensors, relative to the current folder")

    @field_validator("output")
    @classmethod
    def _safetensors(cls, output: Path) -> Path:
        if output.suffix != ".safetensors":
            raise ValueError(f"found {output.name}, expected a name that ends .safetensors")
        return output

    @field_validator("problem")
    @classmethod
    def _with_train_split(cls, problem: ProblemConfig) -> ProblemConfig:
        if "train" not in problem.data.splits:
            raise ValueError(f"found data.splits {problem.data.splits}, expected train among them")
        return problem

    @model_validator(mode="after")
    def _momentum_for_nesterov(self) -> TrainConfig:
        if self.nesterov and self.momentum == 0:
            raise ValueError("found momentum 0 with nesterov, expected nesterov: false")
        return self


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Return the checked recipe of a YAML file, with its input paths absolute.

    Args:
        path: The file; input paths in it are relative to its folder.
        overrides: Texts such as `lr=0.05`; input paths in them are relative to the current folder.

    Raises:
        UserError: If the file or an override is not a valid recipe; one line that says why.
    """
    raw = absolute_paths(read_yaml(path), path.parent)
    raw = absolute_paths(apply_overrides(raw, overrides, TrainConfig), Path.cwd())
    return validate(TrainConfig, raw, path)
