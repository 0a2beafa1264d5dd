"""NPZ files of other tools: the plane of dnn-mode-connectivity, and Landscaper's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.point.column import Column, accuracy_column, loss_column
from losscape_mpi.store.exchange.file import UNKNOWN_SPLIT, axis_of, foreign_surface, shifted
from losscape_mpi.store.surface import Surface

SPLITS = {"tr": "train", "te": "test"}


def is_mode_plane(names: Mapping[str, object]) -> bool:
    """Return whether the names of arrays are those of dnn-mode-connectivity's plane.npz."""
    return {"alphas", "betas"} <= set(names)


def is_landscaper(names: Mapping[str, object]) -> bool:
    """Return whether the names of arrays are those of a file that Landscaper saved."""
    return {"loss", "coordinates"} <= set(names)


def mode_plane(arrays: Mapping[str, np.ndarray], path: Path) -> Surface:
    """Return the surface of dnn-mode-connectivity's plane.npz (Garipov et al. 2018).

    Coordinates are the tool's, 0 and 1 at the checkpoints; `grid` gives the lengths of the axes.
    BatchNorm statistics were estimated anew at every point.

    Raises:
        UserError: If arrays are missing or have other shapes.
    """
    alpha = axis_of(arrays["alphas"], path, "alphas")
    beta = axis_of(arrays["betas"], path, "betas")
    values = {}
    for short, split in SPLITS.items():
        for old, column in _mode_columns(split).items():
            if f"{short}_{old}" in arrays:
                array = np.asarray(arrays[f"{short}_{old}"], dtype=np.float64)
                values[column] = shifted(array, -2) if column.is_share else array  # from percent
    _check(values, (len(alpha), len(beta)), path)
    norms = _lengths(arrays.get("grid"), alpha, beta)
    evaluation = {"evaluation": {"batchnorm": "reestimate"}}
    parts = {"plane": {"norms": norms}, "study": evaluation} if norms else {"study": evaluation}
    return foreign_surface(path, "dnn-mode-connectivity", (alpha, beta), values, parts=parts)


def landscaper(arrays: Mapping[str, np.ndarray], path: Path) -> Surface:
    """Return the surface of a Landscaper file of one or two dimensions.

    Its values are stored with axis 0 first, although the tool pairs them with transposed
    coordinates. NaN and infinity were replaced by the tool before saving.

    Raises:
        UserError: If it has more dimensions, or shapes that do not fit.
    """
    axes = np.asarray(arrays["coordinates"], dtype=np.float64)
    loss = np.asarray(arrays["loss"], dtype=np.float64)
    if axes.ndim != 2 or len(axes) not in (1, 2):
        raise UserError(
            f"{path}: coordinates have shape {axes.shape}; expected one or two axes of one length"
        )
    alpha = axis_of(axes[0], path, "coordinates")
    beta = axis_of(axes[1], path, "coordinates") if len(axes) == 2 else None
    values = {loss_column(UNKNOWN_SPLIT): loss if beta is not None else loss[:, None]}
    _check(values, (len(alpha), 1 if beta is None else len(beta)), path)
    return foreign_surface(path, "Landscaper", (alpha, beta), values)


def _mode_columns(split: str) -> dict[str, Column]:
    """Return the columns of dnn-mode-connectivity by its names for them."""
    penalized = Column(split, "loss_with_penalty", description="mean loss plus the weight penalty")
    words = "share of the samples whose largest output is not their label's, 0 to 1"
    error = Column(split, "error", low=0.0, high=1.0, comparison="absolute", description=words)
    # Its `loss` includes the weight penalty; `nll` is what a loss is here.
    return {
        "nll": loss_column(split),
        "acc": accuracy_column(split),
        "loss": penalized,
        "err": error,
    }


def _check(values: Mapping[Column, np.ndarray], shape: tuple[int, int], path: Path) -> None:
    found = {column.name: array.shape for column, array in values.items()}
    if not found or set(found.values()) != {shape}:
        raise UserError(f"{path} holds {found or 'no values'}; expected values of shape {shape}")


def _lengths(
    grid: np.ndarray | None, alpha: np.ndarray, beta: np.ndarray
) -> dict[str, float] | None:
    """Return the length of a step of 1 along each axis, if the file tells."""
    if grid is None or grid.shape != (len(alpha), len(beta), 2) or 1 in (len(alpha), len(beta)):
        return None
    span = grid[-1, -1] - grid[0, 0]
    steps = {"alpha": span[0] / (alpha[-1] - alpha[0]), "beta": span[1] / (beta[-1] - beta[0])}
    return {axis: float(step) for axis, step in steps.items()}
