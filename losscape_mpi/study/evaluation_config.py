"""The settings of the evaluation: how the numbers at a point are computed."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from losscape_mpi.study.section import Section

LOW_PRECISIONS = ("tf32", "bfloat16", "float16")


class AnchorsConfig(Section):
    """Where the estimator anchors evaluates all samples, and how many elsewhere."""

    stride: PositiveInt = Field(4, description="grid steps between two anchors, on both axes")
    samples: PositiveInt | None = Field(
        None, description="samples of each split between the anchors; null: the share below"
    )
    share: float = Field(
        0.1, gt=0, le=1, description="share of each split's samples, at least 64 of them"
    )
    tolerance: PositiveFloat = Field(
        0.05,
        description="largest standard error of a loss, relative: a point with more is evaluated "
        "on all samples",
    )
    seed: int = Field(0, ge=0, description="seed of their draw, the same for all points")

    def count(self, size: int) -> int:
        """Return how many samples of a split of that size are evaluated between the anchors."""
        wanted = self.samples or max(64, math.ceil(self.share * size))
        return min(wanted, size)


class EvaluationConfig(Section):
    """How the numbers at a point are computed."""

    precision: Literal["float32", "float64", "tf32", "bfloat16", "float16", "auto"] = Field(
        "float32",
        description="of parameters and activations (float32: TF32 is off); a lower one is "
        "compared with float32 at 16 points and refused where it errs by more than the "
        "tolerance; auto takes the fastest that stays far below it, else corrects one by "
        "float32 on a part of the samples, else stays with float32",
    )
    precision_tolerance: PositiveFloat = Field(
        0.01,
        description="largest error of a lower precision: of a loss relative to its float32 value, "
        "of an accuracy absolute",
    )
    batchnorm: Literal["frozen"] = Field(
        "frozen", description="frozen: running statistics stay at the checkpoint's"
    )
    batch_size: PositiveInt | Literal["auto"] = Field(
        "auto", description="samples per forward pass; auto is chosen once and kept in the file"
    )
    points_per_pass: PositiveInt | Literal["auto"] = Field(
        "auto",
        description="grid points per forward pass (small networks); auto is chosen once and kept "
        "in the file",
    )
    fused: Literal["auto", False] = Field(
        "auto",
        description="auto: batch norm, addition and ReLU are taken into the layers before them "
        "where torch.fx can trace the model; false: layer by layer",
    )
    estimator: Literal["mean", "anchors"] = Field(
        "mean",
        description="mean: all samples at every point; anchors: all at a coarse subgrid, a few "
        "elsewhere, with the standard error that this costs",
    )
    anchors: AnchorsConfig = Field(AnchorsConfig(), description="settings of estimator: anchors")

    @model_validator(mode="after")
    def _one_point_for_estimators(self) -> EvaluationConfig:
        if self.estimator == "anchors" and self.points_per_pass not in (1, "auto"):
            raise ValueError(
                f"found points_per_pass {self.points_per_pass} with estimator: anchors, expected 1"
            )
        return self
