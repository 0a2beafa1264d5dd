"""Directions that are read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import (
    AXES,
    Axes,
    Center,
    DirectionArrays,
    Made,
    as_tensors,
    direction_sha256,
    floating_buffers,
    needed,
    problem_at,
)
from losscape_mpi.geometry.matching import file_direction, named_direction
from losscape_mpi.problem.checkpoint import file_sha256
from losscape_mpi.problem.checkpoint_file import read_tensors
from losscape_mpi.problem.number import as_real
from losscape_mpi.store.exchange.directions import read_2018_directions
from losscape_mpi.store.reader import read_directions
from losscape_mpi.study.plane_config import AxisConfig


def directions(settings: AxisConfig, axes: Axes, center: Center) -> dict[str, Made]:
    """Return the directions of a file as they are, each axis its own.

    Args:
        settings: path.
        axes: One or two of the plane's axes; an axis alone takes a file's only direction.
        center: With the model, some of whose buffers a direction may move.

    Raises:
        UserError: If the file holds no direction for an axis, or one of another network.
    """
    path = needed(settings.path)
    model = problem_at(center).model
    found = floating_buffers(model)
    buffers = {name: tuple(as_real(tensor).shape) for name, tensor in found.items()}
    named = _named_arrays(path)
    unnamed = {} if named else read_2018_directions(path)
    made = {}
    for axis in axes:
        key = _axis_of_file(path, axes, axis, list(named or unnamed))
        source = f"{path} ({axis})"
        direction = (
            named_direction(named[key], center.weights, buffers, source)
            if named
            else file_direction(unnamed[key], center.weights, source)
        )
        made[axis] = Made(direction, {})
    return made


def hashes(settings: AxisConfig) -> dict[str, Any]:
    """Return the file's SHA-256; by axis for a surface file, which may still grow."""
    path = needed(settings.path)
    if path.suffix == ".safetensors" or not (named := _named_arrays(path)):
        return {"path": file_sha256(path)}
    return {"path": {axis: direction_sha256(one) for axis, one in as_tensors(named).items()}}


def _axis_of_file(path: Path, axes: Axes, axis: str, present: list[str]) -> str:
    """Return which direction of a file an axis takes: its own, or the only one when alone."""
    if axis in present:
        return axis
    if len(axes) == len(present) == 1:
        return present[0]
    raise UserError(
        f"{path}: found no direction for {axis}, expected one for each axis of the grid: set "
        "grid.beta to null or take a file with two directions"
    )


def _named_arrays(path: Path) -> DirectionArrays:
    """Return the directions by axis and name; empty where the file's arrays have no names."""
    if path.suffix != ".safetensors":
        return _of_surface_file(path)
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for key, tensor in read_tensors(path).items():
        axis, slash, name = key.partition("/")
        if not slash or axis not in AXES:
            raise UserError(
                f"{path}: found the name {key!r}, expected AXIS/PARAMETER such as "
                "alpha/conv1.weight: take a direction file"
            )
        reals = as_real(tensor)
        wide = reals if reals.dtype == torch.float64 else reals.float()
        arrays.setdefault(axis, {})[name] = wide.numpy()
    return arrays


def _of_surface_file(path: Path) -> DirectionArrays:
    try:
        return read_directions(path)
    except UserError:  # no surface file: whoever reads it as another kind says what it is
        return {}
