"""The settings of a plane: which directions span it."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from losscape_mpi.study.explain import shorten
from losscape_mpi.study.kinds import KINDS, in_words, readers
from losscape_mpi.study.section import Section, path_keys


def _known(kind: str) -> str:
    if kind not in KINDS:
        near = get_close_matches(kind, KINDS, n=1)
        hint = f" (nearest: {near[0]})" if near else ""
        names = in_words([f"'{name}'" for name in KINDS], "or")
        raise ValueError(f'found "{kind}", expected {names}{hint}')
    return kind


def _of_a_table(schema: dict[str, Any]) -> None:
    schema["enum"] = list(KINDS)


class AxisConfig(Section):
    """The direction of one axis of a plane."""

    kind: Annotated[str, AfterValidator(_known)] = Field(
        "random",
        description="; ".join(f"{name}: {kind.meaning}" for name, kind in KINDS.items())
        + " (docs/directions.md)",
        json_schema_extra=_of_a_table,
    )
    path: Path | None = Field(
        None,
        description="direction file of kind file: a surface file, .safetensors with the names "
        "AXIS/PARAMETER, or the 2018 tool's .h5 layout",
    )
    normalize: Literal["filter", "layer", "weight", "dfilter", "dlayer", "none"] = Field(
        "filter", description="how a direction of kind random is scaled"
    )
    ignore: Literal["biasbn", "none"] = Field(
        "biasbn",
        description="biasbn: directions are 0 on biases and norm layers; none: they move too "
        f"(kinds {in_words(name for name, kind in KINDS.items() if kind.norms == 'setting')})",
    )
    seed: int = Field(0, ge=0, description="seed of the directions; another seed, another plane")
    targets: Annotated[list[Path], Field(min_length=1, max_length=2)] | None = Field(
        None,
        description="checkpoints of kind target, one for each axis: alpha = 1 is the first of "
        "them, beta = 1 the second",
    )
    states: bool = Field(
        False,
        description="whether kind target moves floating buffers too, such as BatchNorm's "
        "running statistics, so that the ends are the checkpoints as they run",
    )
    checkpoints: Path | Annotated[list[Path], Field(min_length=2)] | None = Field(
        None, description="training path of kind pca: a folder, or a list in order of time"
    )
    centered: bool = Field(
        True, description="whether kind pca takes the path about its mean, or about its last point"
    )
    norm_removed: bool = Field(
        False,
        description="whether kind pca scales each filter of the path to the center's length first, "
        "so that growing weights are no direction",
    )
    which: Literal["top", "extremes"] = Field(
        "top",
        description="kind eigenvectors, top: of the two largest eigenvalues; extremes: of the "
        "largest and the smallest",
    )
    samples: PositiveInt | None = Field(
        None,
        description="samples for eigenvectors and gradient, drawn by seed from those of the first "
        "split; null takes all of them",
    )

    @model_validator(mode="after")
    def _settings_of_the_kind(self) -> AxisConfig:
        kind = KINDS[self.kind]
        if kind.needs is not None and getattr(self, kind.needs) is None:
            raise ValueError(f"expected {kind.needs} with kind: {self.kind}")
        for key, field in AxisConfig.model_fields.items():
            is_used = key in ("kind", *kind.reads)
            if not is_used and (value := getattr(self, key)) != field.default:
                raise ValueError(
                    f"found {key}: {shorten(value)}, which kind: {self.kind} does not use, "
                    f"expected it with {', '.join(readers(key))}"
                )
        return self

    def input_paths(self) -> list[Path]:
        """Return the files and folders that the direction is made of."""
        values = [getattr(self, key) for key in path_keys(AxisConfig)]
        several = [value if isinstance(value, list) else [value] for value in values]
        return [path for paths in several for path in paths if path is not None]


class PlaneConfig(AxisConfig):
    """The directions that span the plane through the trained parameters."""

    orthonormalize: bool = Field(
        False,
        description="whether the directions are made orthonormal (Gram-Schmidt, alpha first): a "
        "step of 1 is then a distance of 1 between parameters",
    )
    alpha: AxisConfig | None = Field(
        None, description="settings of axis alpha alone; null takes those of the plane"
    )
    beta: AxisConfig | None = Field(
        None, description="settings of axis beta alone; null takes those of the plane"
    )

    @model_validator(mode="after")
    def _settings_of_the_plane(self) -> PlaneConfig:
        if self.alpha is None or self.beta is None:
            return self
        for key, field in AxisConfig.model_fields.items():
            if (value := getattr(self, key)) != field.default:
                raise ValueError(
                    f"found {key}: {value}, which no axis uses, as alpha and beta have settings of "
                    "their own: move it there"
                )
        return self

    def groups(self, axes: tuple[str, ...]) -> Iterator[tuple[AxisConfig, tuple[str, ...]]]:
        """Yield settings with the axes that share them, the plane's own first.

        Args:
            axes: The names of the axes that the study has, alpha first.
        """
        own = {axis: getattr(self, axis) for axis in axes}
        if shared := tuple(axis for axis in axes if own[axis] is None):
            yield self, shared
        for axis in axes:
            if own[axis] is not None:
                yield own[axis], (axis,)

    def all_input_paths(self) -> list[Path]:
        """Return the files and folders that the plane is made of, whichever axis names them."""
        own = [axis.input_paths() for axis in (self.alpha, self.beta) if axis is not None]
        return [path for paths in (self.input_paths(), *own) for path in paths]
