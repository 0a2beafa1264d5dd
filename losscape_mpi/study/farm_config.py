"""The typed settings of who computes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from losscape_mpi.study.section import Section

MAX_RETRIES = 254  # a file counts the tries of a point in one byte


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
    retries: int = Field(
        2,
        ge=0,
        le=MAX_RETRIES,
        description="how often a point is tried again that failed: the model raised, or its "
        "evaluator died",
    )
