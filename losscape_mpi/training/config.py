"""The typed recipe of a training, and its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from losscape_mpi.study.config import ProblemConfig
from losscape_mpi.study.load import (
    PROBLEM_PATHS,
    absolute_paths,
    apply_overrides,
    read_yaml,
    validate,
)
from losscape_mpi.study.section import Section
from losscape_mpi.training.sections import (
    AugmentConfig,
    LabelNoiseConfig,
    MilestonesConfig,
    PathConfig,
)

Share = Annotated[float, Field(ge=0, lt=1)]
# Settings that only some optimizers have.
_BELONGS = {
    "momentum": ("sgd", "sam"),
    "nesterov": ("sgd", "sam"),
    "betas": ("adam",),
    "rho": ("sam",),
}


class TrainConfig(Section):
    """One training: the network, its data and how it learns."""

    problem: ProblemConfig = Field(
        description="as in a study; a checkpoint is the start of the training, its split train "
        "is what the network learns, and every split asked for is measured"
    )
    epochs: PositiveInt = Field(description="passes over the training samples")
    batch_size: PositiveInt = Field(
        128, description="most samples of a step; the steps of an epoch are nearly equal"
    )
    optimizer: Literal["sgd", "adam", "sam"] = Field(
        "sgd", description="sgd, adam, or sam: sharpness-aware steps of SGD"
    )
    lr: float = Field(0.1, gt=0, description="learning rate at the start; adam needs one")
    momentum: Share = Field(0.9, description="momentum of sgd and sam")
    nesterov: bool = Field(True, description="Nesterov's form of the momentum")
    betas: tuple[Share, Share] = Field((0.9, 0.999), description="decays of adam's two averages")
    rho: float = Field(0.05, gt=0, description="length of sam's step uphill")
    weight_decay: float = Field(5e-4, ge=0, description="L2 penalty on all parameters")
    schedule: MilestonesConfig | Literal["constant", "cosine"] = Field(
        "cosine", description="constant, cosine (to 0 at the end), or {milestones, factor}"
    )
    augment: AugmentConfig | None = Field(
        None, description="{crop: 4, flip: true} for the paper's images; null changes none"
    )
    label_noise: LabelNoiseConfig | None = Field(
        None, description="{fraction, seed}: wrong labels among the training samples; null for none"
    )
    seed: int = Field(0, ge=0, description="seed of shuffles, augmentation and dropout")
    init_seed: int = Field(0, ge=0, description="seed of the initial parameters")
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="cpu computes in float32, cuda in bfloat16 (autocast)"
    )
    threads: PositiveInt = Field(
        1, description="threads of the arithmetic on the CPU; another number gives other bits"
    )
    output: Path = Field(description="the checkpoint, .safetensors, relative to the current folder")
    path: PathConfig | None = Field(
        None, description="{folder, every, unit}: checkpoints on the way; null for none"
    )
    save_s: float = Field(
        10.0, ge=0, description="least seconds between two savings of the training's state"
    )

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
    def _settings_of_the_optimizer(self) -> TrainConfig:
        wrong = [key for key, names in _BELONGS.items() if self.optimizer not in names]
        if given := [key for key in wrong if key in self.model_fields_set]:
            raise ValueError(
                f"found {given[0]} with optimizer {self.optimizer}, expected it with "
                f"{' or '.join(_BELONGS[given[0]])} only"
            )
        if self.optimizer == "adam" and "lr" not in self.model_fields_set:
            raise ValueError("found optimizer adam without lr, expected one, such as lr: 1.0e-3")
        if self.optimizer != "adam" and self.nesterov and self.momentum == 0:
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
    raw = absolute_paths(read_yaml(path), path.parent, PROBLEM_PATHS)
    raw = apply_overrides(raw, overrides, TrainConfig)
    raw = absolute_paths(raw, Path.cwd(), PROBLEM_PATHS)
    return validate(TrainConfig, raw, path)
