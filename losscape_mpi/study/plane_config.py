"""The settings of a plane: which directions span it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from losscape_mpi.study.section import Section

Kind = Literal[
    "random",
    "adaptive",
    "qr",
    "zca",
    "svd",
    "target",
    "pca",
    "eigenvectors",
    "gradient",
    "file",
]
# Which kinds read a setting; elsewhere it keeps its default. A direction file of an older study
# may stand beside the settings of random directions.
_DRAWN = ("random", "adaptive", "qr", "zca", "svd", "eigenvectors", "gradient", "file")
_READ_BY: dict[str, tuple[str, ...]] = {
    "path": ("file",),
    "targets": ("target",),
    "states": ("target",),
    "checkpoints": ("pca",),
    "centered": ("pca",),
    "norm_removed": ("pca",),
    "which": ("eigenvectors",),
    "samples": ("eigenvectors", "gradient"),
    "normalize": ("random", "file"),
    "ignore": ("random", "adaptive", "pca", "eigenvectors", "gradient", "file"),
    "seed": _DRAWN,
}
_NEEDED = {"path": "a path", "targets": "targets", "checkpoints": "checkpoints"}


class AxisConfig(Section):
    """The direction of one axis of a plane."""

    kind: Kind = Field(
        "random",
        description="random: Gaussian directions by seed; adaptive: Gaussian times the size of "
        "each weight; qr: orthogonal blocks; zca, svd: from the weights; target: to other "
        "checkpoints; pca: of a training path; eigenvectors: of the Hessian; gradient: of the "
        "loss; file: read from path (docs/directions.md)",
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
        "(kinds random, adaptive, pca, eigenvectors and gradient)",
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
        for key, kinds in _READ_BY.items():
            is_read, value = self.kind in kinds, getattr(self, key)
            if key in _NEEDED and is_read != (value is not None):
                raise ValueError(f"expected {_NEEDED[key]} with kind: {kinds[0]}, and only there")
            if not is_read and value != type(self).model_fields[key].default:
                raise ValueError(
                    f"found {key}: {value}, which kind: {self.kind} does not use, expected it "
                    f"with {', '.join(kinds)}"
                )
        return self

    def input_paths(self) -> list[Path]:
        """Return the files and folders that the direction is made of."""
        several = self.checkpoints if isinstance(self.checkpoints, list) else [self.checkpoints]
        named = [self.path, *(self.targets or []), *several]
        return [path for path in named if path is not None]


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
