"""A direction: one tensor for each floating parameter of the network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from losscape_mpi.geometry.normalize import as_filters, from_filters, normalize, zero_filters
from losscape_mpi.problem.build import Problem

AXES = ("alpha", "beta")

Axes = tuple[str, ...]
Direction = dict[str, Tensor]
Directions = Mapping[str, Mapping[str, Tensor]]
"""By axis and name, alpha first; only alpha for a line."""
DirectionArrays = Mapping[str, Mapping[str, np.ndarray]]
"""As Directions, with arrays: what a surface file holds and what travels to the workers."""
Draw = Callable[[str, np.ndarray], np.ndarray]
"""(name, weight) -> a tensor of the weight's shape, not scaled yet."""
Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Center:
    """What directions are shaped like and scaled to.

    Attributes:
        weights: The trained floating parameters, float64.
        transposed: Names of those whose filters lie along axis 1.
        problem: Model and data, which some families are made of; None where none of these is
            asked for.
    """

    weights: dict[str, np.ndarray]
    transposed: frozenset[str] = frozenset()
    problem: Problem | None = None

    def filter_axis(self, name: str) -> int:
        """Return the axis of a parameter whose indices are its filters."""
        return int(name in self.transposed)


@dataclass(frozen=True, eq=False)
class Made:
    """A direction with what the plane's record says about how it was made.

    Attributes:
        direction: float32; float64 and with buffers where it leads to another checkpoint.
        record: Plain JSON values.
    """

    direction: Direction
    record: dict[str, Any]


def scaled_direction(center: Center, draw: Draw, rule: str, ignore: str) -> Direction:
    """Return a direction scaled to the weights.

    Args:
        center: The trained parameters.
        draw: Gives what is scaled.
        rule: How, see `normalize`.
        ignore: biasbn sets biases and norm layers to 0; under none each of them is one filter.
    """
    direction = {}
    for name, weight in center.weights.items():
        if is_ignored(weight, ignore):
            direction[name] = torch.zeros(weight.shape, dtype=torch.float32)
            continue
        axis = center.filter_axis(name)
        filters = as_filters(draw(name, weight), axis)
        scaled = normalize(filters, as_filters(weight, axis), rule)
        direction[name] = as_float32(from_filters(scaled, weight.shape, axis))
    return direction


def count_zero_filters(direction: Direction, center: Center, ignore: str) -> int:
    """Return how many filters a direction leaves where they are, ignored parameters not counted."""
    return sum(
        int(zero_filters(as_filters(direction[name].numpy(), center.filter_axis(name))).sum())
        for name, weight in center.weights.items()
        if not is_ignored(weight, ignore)
    )


def is_ignored(weight: np.ndarray, ignore: str) -> bool:
    """Tell whether a direction is 0 on a parameter: biases and norm layers under biasbn."""
    return ignore == "biasbn" and weight.ndim <= 1


def moved_names(center: Center, ignore: str) -> list[str]:
    """Return the names of the parameters that a direction moves, in the center's order."""
    return [name for name, weight in center.weights.items() if not is_ignored(weight, ignore)]


def problem_at(center: Center) -> Problem:
    """Return the problem that a family is made of, which whoever asks for the plane gives."""
    return needed(center.problem)


def needed(value: Value | None) -> Value:
    """Return what a kind needs, as its row and the study's own check promise it."""
    if value is None:
        raise ValueError("the plane lacks a setting or a problem that its kind needs")
    return value


def floating_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Return the floating buffers that a checkpoint holds, by name."""
    stored = model.state_dict()
    return {n: b for n, b in model.named_buffers() if n in stored and b.is_floating_point()}


def transposed_parameters(model: nn.Module) -> frozenset[str]:
    """Return the names of the transposed convolutions' weights, whose filters lie along axis 1."""
    kinds = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    return frozenset(
        f"{name}.weight".lstrip(".")
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, kinds)
    )


def direction_sha256(direction: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(direction):
        array = direction[name].numpy()
        is_wide = array.dtype == np.float64
        # float32 came first and is not named.
        named = [name, list(array.shape), *(["float64"] if is_wide else [])]
        digest.update(json.dumps(named).encode())
        digest.update(np.ascontiguousarray(array, dtype="<f8" if is_wide else "<f4").tobytes())
    return digest.hexdigest()


def as_arrays(directions: Directions) -> dict[str, dict[str, np.ndarray]]:
    """Return directions as arrays, which share the tensors' memory."""
    return {
        axis: {name: tensor.numpy() for name, tensor in direction.items()}
        for axis, direction in directions.items()
    }


def as_tensors(arrays: DirectionArrays) -> dict[str, Direction]:
    """Return directions as tensors, which share the arrays' memory."""
    return {
        axis: {name: torch.from_numpy(array) for name, array in direction.items()}
        for axis, direction in arrays.items()
    }


def as_float32(array: np.ndarray) -> Tensor:
    """Return an array as a contiguous float32 tensor of its own."""
    with np.errstate(over="ignore"):  # an overflow becomes infinite, which the plane refuses
        return torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
