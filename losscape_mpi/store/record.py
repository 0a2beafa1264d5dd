"""What a surface file says of itself, checked once where it is read: after that, readers trust it.

Keys that are not named here are allowed: newer releases write more, and nobody reads them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Range = Annotated[list[float], Field(min_length=3, max_length=3)]
Count = Annotated[int, Field(ge=0)]
MADE_BY_RUN = ("hashes", "choices")  # a manifest with one of them has both, and a fingerprint


class Record(BaseModel):
    """A group of values of which some are known."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, frozen=True)


class _Data(Record):
    name: str = ""


class _Problem(Record):
    model: str = ""
    data: _Data = _Data()


class _Grid(Record):
    alpha: Range | None = None
    beta: Range | None


class _Anchors(Record):
    stride: int
    samples: int | None
    share: float


class _Evaluation(Record):
    precision: str | None = None
    estimator: str = "mean"
    batchnorm: str | None = None
    anchors: _Anchors | None = None

    @model_validator(mode="after")
    def _said(self) -> _Evaluation:
        if self.estimator == "anchors" and self.anchors is None:
            raise ValueError("found the estimator anchors, expected anchors")
        return self


class _Study(Record):
    problem: _Problem = _Problem()
    plane: dict[str, Any] = {}
    grid: _Grid | None = None
    path: dict[str, Any] | None = None
    evaluation: _Evaluation = _Evaluation()
    metrics: list[str] = []

    @model_validator(mode="after")
    def _somewhere(self) -> _Study:
        if (self.grid is None) == (self.path is None):
            raise ValueError("expected either grid or path")
        return self


class _Split(Record):
    samples: Count | None = None
    available: Count | None = None


class _Axis(Record):
    kind: str | None = None
    shares: list[float] | None = None
    null_shares: list[float] | None = None


class _Plane(Record):
    kind: str | None = None
    norms: dict[str, float | None] = {}
    axes: dict[str, _Axis] = {}
    sha256: dict[str, Digest] = {}
    orthonormalized: bool | None = None


class _Path(Record):
    axis: Literal["epoch", "step", "checkpoint"]
    labels: list[str]


class _PrecisionError(Record):
    mode: str | None = None
    max_relative: float | Literal["infinite"] | None = None
    probes: Count | None = None


class _Choices(Record):
    batch_size: Annotated[int, Field(ge=1)]
    layout: str
    points_per_pass: Annotated[int, Field(ge=1)] = 1
    fused: bool = False
    precision: str = "float32"
    correction: Count = 0
    tolerance: float = 0.0
    widens: bool = False
    precision_error: _PrecisionError | None = None


class Manifest(Record):
    """What defines a result."""

    study: _Study
    splits: dict[str, _Split] = {}
    plane: _Plane = _Plane()
    path: _Path | None = None
    hashes: dict[str, Any] | None = None
    choices: _Choices | None = None
    fingerprint: str = ""
    source: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Manifest:
        if self.study.path is not None and self.path is None:
            raise ValueError("expected path beside a study of a path")
        made = [key for key in MADE_BY_RUN if getattr(self, key) is not None]
        if made and (len(made) < len(MADE_BY_RUN) or not self.fingerprint):
            raise ValueError(f"expected {', '.join(MADE_BY_RUN)} and fingerprint")
        return self


class Provenance(Record):
    """What made a file."""

    name: str = ""
    checkpoint_name: str | None = None
    versions: dict[str, str] = {}
    center: Annotated[str, Field(pattern="^([0-9a-f]{16})*$")] = ""
    created: str = ""
    host: str = ""
    directions: str = ""


class TrajectoryRecord(Record):
    """How a training path was projected."""

    epochs: list[Any] | None = None
    steps: list[Any] | None = None
    explained: dict[str, float | None] = {}
    null: dict[str, float | None] = {}


def check_record(model: type[Record], values: Any, name: str) -> dict[str, Any]:
    """Return values from a file as they are, once they are found to fit.

    Raises:
        ValueError: If they do not; one line that says where.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{name} is no mapping")
    try:
        model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in (name, *first["loc"]))
        raise ValueError(f"{place}: {first['msg']}") from None
    return values
