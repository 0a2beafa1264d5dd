"""The typed study: every field, its default and its meaning."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from losscape_mpi.study.data_sets import DATA_SETS, data_sets_with
from losscape_mpi.study.evaluation_config import EvaluationConfig
from losscape_mpi.study.kinds import in_words
from losscape_mpi.study.measures import check_measure, describe_measures
from losscape_mpi.study.path_config import PathConfig
from losscape_mpi.study.plane_config import PlaneConfig
from losscape_mpi.study.section import Section

MAX_GRID_POINTS = 2**31 - 1  # messages carry flat indices as signed 32-bit integers


class DataConfig(Section):
    """Which images or samples the loss is averaged over."""

    name: str = Field(
        description=f"{', '.join(DATA_SETS)}, or package.module:callable for your own data"
    )
    root: Path | None = Field(
        None,
        description="folder of the data files, or the file, relative to the study file "
        f"(needed by {in_words(data_sets_with('root'))})",
    )
    splits: Annotated[list[Literal["train", "test"]], Field(min_length=1)] = Field(
        ["train"], description="splits that are evaluated in one pass over the plane"
    )
    samples: PositiveInt | None = Field(
        None, description="samples taken of each split; null takes all of them"
    )
    order: Literal["random", "first"] = Field(
        "random", description="which samples: drawn by seed without replacement, or the first"
    )
    seed: int = Field(0, ge=0, description="seed of the draw when order is random")
    mean: list[float] | None = Field(
        None, description="per-channel mean that is subtracted; null uses the data set's own"
    )
    std: list[float] | None = Field(
        None, description="per-channel deviation that is divided by; null uses the data set's own"
    )
    args: dict[str, Any] = Field({}, description="keyword arguments of your own data callable")

    @field_validator("splits")
    @classmethod
    def _distinct_splits(cls, splits: list[str]) -> list[str]:
        return _distinct(splits)

    @field_validator("std")
    @classmethod
    def _positive_std(cls, std: list[float] | None) -> list[float] | None:
        if std is not None and min(std, default=0.0) <= 0:
            raise ValueError("expected deviations above 0")
        return std


class ProblemConfig(Section):
    """The network, its trained parameters, its data and its loss."""

    model: str = Field(
        description="a zoo name (resnet56), timm:NAME, or package.module:callable for your own"
    )
    model_args: dict[str, Any] = Field(
        {}, description="keyword arguments of the model, e.g. {layers: 2, width: 100} of mlp"
    )
    checkpoint: Path | None = Field(
        None,
        description="trained parameters (.pt .pth .th .t7 .safetensors), relative to the study "
        "file; null takes the parameters that the model callable returns",
    )
    data: DataConfig = Field(description="see problem.data")
    loss: str = Field(
        "cross_entropy", description="cross_entropy, mse, or package.module:callable for your own"
    )


def _check_axis(axis: tuple[float, float, int]) -> tuple[float, float, int]:
    low, high, num = axis
    if num < 1:
        raise ValueError(f"found an axis of {num} points, expected [low, high, points >= 1]")
    if num == 1 and low != high:
        raise ValueError("found one point between two ends, expected low = high")
    if num > 1 and not low < high:
        raise ValueError(f"found the range [{low}, {high}], expected low < high")
    if not math.isfinite(high - low):
        raise ValueError("expected a finite range")
    return axis


Axis = Annotated[tuple[float, float, int], AfterValidator(_check_axis)]


class GridConfig(Section):
    """The lattice of plane coordinates: [low, high, points] for each axis, ends included."""

    alpha: Axis = Field((-1.0, 1.0, 51), description="axis 0: [low, high, points]")
    beta: Axis | None = Field(
        (-1.0, 1.0, 51), description="axis 1: [low, high, points]; null makes a 1-D profile"
    )

    @model_validator(mode="after")
    def _countable(self) -> GridConfig:
        size = self.alpha[2] * (self.beta[2] if self.beta else 1)
        if size > MAX_GRID_POINTS:
            raise ValueError(f"found {size} points, expected at most {MAX_GRID_POINTS}")
        return self


class FarmConfig(Section):
    """Who computes; nothing here changes a number."""

    master_computes: bool | Literal["auto"] = Field(
        "auto",
        description="whether rank 0 evaluates points too; auto: when it is alone, or when a "
        "device of its node would stay idle",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: CUDA where a GPU is visible, else the CPU"
    )
    threads: PositiveInt | Literal["auto"] = Field(
        "auto", description="CPU threads per worker; auto divides the cores among the workers"
    )
    share_gpu: bool = Field(False, description="allow several workers on one GPU")
    point_timeout: PositiveFloat | Literal["auto"] = Field(
        "auto",
        description="seconds after which a silent evaluator is restarted; auto: 10 times the "
        "longest point so far, at least 60",
    )
    retries: NonNegativeInt = Field(
        2,
        description="how often a point is tried again that failed: the model raised, or its "
        "evaluator died",
    )


class Study(Section):
    """One question put to the service: one YAML file, one surface file."""

    name: str = Field(min_length=1, description="what the figures and messages call it")
    problem: ProblemConfig = Field(description="the network and its data")
    plane: PlaneConfig = Field(PlaneConfig(), description="where to look")
    grid: GridConfig = Field(GridConfig(), description="at which points")
    path: PathConfig | None = Field(
        None, description="checkpoints of a training path as points, in place of plane and grid"
    )
    metrics: Annotated[list[Annotated[str, AfterValidator(check_measure)]], Field(min_length=1)] = (
        Field(
            ["loss", "accuracy"],
            description=f"what is computed at each point: {describe_measures()}; or "
            "package.module:callable for your own (docs/own-problem.md)",
        )
    )
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="how it is computed")
    farm: FarmConfig = Field(FarmConfig(), description="who computes it")
    output: Path = Field(description="the surface file, relative to the current folder")

    @model_validator(mode="after")
    def _places_of_one_kind(self) -> Study:
        if self.path is None:
            return self
        for name, default in (("plane", PlaneConfig()), ("grid", GridConfig())):
            if getattr(self, name) != default:
                raise ValueError(f"found {name} beside path, expected one of them: take one away")
        wish = self.evaluation
        if wish.precision not in ("float32", "float64") or wish.estimator != "mean":
            raise ValueError(
                f"found precision {wish.precision} and estimator {wish.estimator} with path, "
                "expected precision float32 or float64 and estimator mean"
            )
        return self

    @field_validator("metrics")
    @classmethod
    def _distinct_metrics(cls, metrics: list[str]) -> list[str]:
        return _distinct(metrics)


def _distinct(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise ValueError(f"found {values}, expected each name once")
    return values
