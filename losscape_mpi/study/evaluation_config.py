"""The settings of the evaluation: how the numbers at a point are computed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from losscape_mpi.study.section import Section


class EvaluationConfig(Section):
    """How the numbers at a point are computed."""

    precision: Literal["float32", "float64"] = Field(
        "float32", description="precision of parameters and activations (float32: TF32 is off)"
    )
    batchnorm: Literal["frozen"] = Field(
        "frozen", description="frozen: running statistics stay at the checkpoint's"
    )
    batch_size: PositiveInt | Literal["auto"] = Field(
        "auto", description="samples per forward pass; auto is chosen once and kept in the file"
    )
