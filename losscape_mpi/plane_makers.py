"""The directions that are made of files or of the data, by kind."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import Made, direction_sha256, transposed_parameters
from losscape_mpi.geometry.families.pca import pca_plane
from losscape_mpi.geometry.families.target import target_direction
from losscape_mpi.geometry.matching import file_direction, named_direction
from losscape_mpi.geometry.plane import AXES, Maker
from losscape_mpi.geometry.trajectory.rows import checkpoint_files
from losscape_mpi.plane_curvature import eigenvector_directions, gradient_directions
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.checkpoint import file_sha256, load_into, read_state
from losscape_mpi.problem.checkpoint_file import read_tensors
from losscape_mpi.problem.copy import copy_model
from losscape_mpi.store.exchange_directions import read_2018_directions
from losscape_mpi.store.reader import read_directions
from losscape_mpi.study.plane_config import AxisConfig

Axes = tuple[str, ...]
Arrays = dict[str, dict[str, np.ndarray]]
Value = TypeVar("Value")


def plane_makers(problem: Problem) -> dict[str, Maker]:
    """Return what makes directions of files or of the problem's data, by kind."""
    return {
        "file": partial(_from_file, problem.model),
        "target": partial(_from_targets, problem.model),
        "pca": partial(_from_path, problem.model, transposed_parameters(problem.model)),
        "eigenvectors": partial(eigenvector_directions, problem),
        "gradient": partial(gradient_directions, problem),
    }


def path_files(settings: AxisConfig) -> list[Path]:
    """Return the checkpoints of the training path that a plane of kind pca is made of."""
    if settings.checkpoints is None:
        raise ValueError("the plane lacks the checkpoints that kind pca needs")
    return checkpoint_files(settings.checkpoints)


def direction_file_hash(path: Path) -> Any:
    """Return a direction file's SHA-256; by axis for a surface file, which may still grow."""
    if path.suffix == ".safetensors" or not (named := _named_arrays(path)):
        return file_sha256(path)
    return {
        axis: direction_sha256({name: torch.from_numpy(a) for name, a in arrays.items()})
        for axis, arrays in named.items()
    }


def _from_file(model: nn.Module, settings: AxisConfig, axes: Axes) -> dict[str, Made]:
    path = _needed(settings.path)
    center = {name: tensor.numpy() for name, tensor in _parameters(model).items()}
    buffers = {name: tuple(tensor.shape) for name, tensor in _buffers(model).items()}
    named = _named_arrays(path)
    unnamed = {} if named else read_2018_directions(path)
    made = {}
    for axis in axes:
        key = _axis_of_file(path, axes, axis, list(named or unnamed))
        source = f"{path} ({axis})"
        direction = (
            named_direction(named[key], center, buffers, source)
            if named
            else file_direction(unnamed[key], center, source)
        )
        made[axis] = Made(direction, {})
    return made


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


def _named_arrays(path: Path) -> Arrays:
    """Return the directions by axis and name; empty where the file's arrays have no names."""
    if path.suffix != ".safetensors":
        return _of_surface_file(path)
    arrays: Arrays = {}
    for key, tensor in read_tensors(path).items():
        axis, slash, name = key.partition("/")
        if not slash or axis not in AXES:
            raise UserError(
                f"{path}: found the name {key!r}, expected AXIS/PARAMETER such as "
                "alpha/conv1.weight: take a direction file"
            )
        wide = tensor if tensor.dtype == torch.float64 else tensor.float()
        arrays.setdefault(axis, {})[name] = wide.numpy()
    return arrays


def _of_surface_file(path: Path) -> Arrays:
    try:
        return read_directions(path)
    except UserError:  # no surface file: whoever reads it as another kind says what it is
        return {}


def _from_targets(model: nn.Module, settings: AxisConfig, axes: Axes) -> dict[str, Made]:
    targets = _needed(settings.targets)
    if len(targets) != len(axes):
        raise UserError(
            f"plane.targets: found {len(targets)}, expected {len(axes)}, one checkpoint for each "
            f"of the axes that it spans ({', '.join(axes)})"
        )
    made = {}
    for axis, path in zip(axes, targets, strict=True):
        other = copy_model(model)
        load_into(other, read_state(path), path)
        start, end = (
            _parameters(one) | (_buffers(one) if settings.states else {}) for one in (model, other)
        )
        one = target_direction(start, end, axis, str(path))
        made[axis] = Made(one.direction, one.record | {"states": settings.states})
    return made


def _from_path(
    model: nn.Module, transposed: frozenset[str], settings: AxisConfig, axes: Axes
) -> dict[str, Made]:
    directions, record = pca_plane(
        path_files(settings),
        {name: tensor.double().numpy() for name, tensor in _parameters(model).items()},
        axes,
        ignore=settings.ignore,
        centered=settings.centered,
        norm_removed=settings.norm_removed,
        transposed=transposed,
    )
    # What is known of the path stands with the first axis, its coordinates with each.
    coordinates = record.pop("coordinates")
    recipe = {key: record[key] for key in ("ignore", "centered", "norm_removed")}
    return {
        axis: Made(
            directions[axis],
            recipe | ({} if number else record) | {"coordinates": coordinates[axis]},
        )
        for number, axis in enumerate(axes)
    }


def _parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return the floating parameters by name, detached."""
    return {n: p.detach() for n, p in model.named_parameters() if p.is_floating_point()}


def _buffers(model: nn.Module) -> dict[str, Tensor]:
    """Return the floating buffers that a checkpoint holds, by name."""
    stored = model.state_dict()
    return {n: b for n, b in model.named_buffers() if n in stored and b.is_floating_point()}


def _needed(value: Value | None) -> Value:
    """Return a setting that the study's own check promises."""
    if value is None:
        raise ValueError("the plane lacks a setting that its kind needs")
    return value
