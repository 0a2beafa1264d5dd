"""A direction: one tensor for each floating parameter of the network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from losscape_mpi.geometry.normalize import as_filters, from_filters, normalize, zero_filters
from losscape_mpi.geometry.role import Role, Roles, role_of
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.number import is_number

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
        weights: The trained parameters of real or complex numbers, float64; complex ones as
            pairs, see `problem.number`.
        roles: What they are in their layers.
        problem: Model and data, which some families are made of; None where none of these is
            asked for.
    """

    weights: dict[str, np.ndarray]
    roles: Roles = field(default_factory=dict)
    problem: Problem | None = None

    def role(self, name: str) -> Role:
        """Return what a parameter is in its layer."""
        return role_of(self.roles, name, self.weights[name].ndim)

    def ignores(self, name: str, ignore: str) -> bool:
        """Tell whether a direction is 0 on a parameter: biases and norm layers under biasbn."""
        return ignore == "biasbn" and self.role(name).is_vector


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
        if center.ignores(name, ignore):
            direction[name] = torch.zeros(weight.shape, dtype=torch.float32)
            continue
        role = center.role(name)
        filters = as_filters(draw(name, weight), role)
        scaled = normalize(filters, as_filters(weight, role), rule, is_complex=role.is_complex)
        direction[name] = as_float32(from_filters(scaled, weight.shape, role))
    return direction


def count_zero_filters(direction: Direction, center: Center, ignore: str) -> int:
    """Return how many filters a direction leaves where they are, ignored parameters not counted."""
    return sum(
        int(zero_filters(as_filters(direction[name].numpy(), center.role(name))).sum())
        for name in moved_names(center, ignore)
    )


def signs_share(directions: Directions, center: Center) -> float:
    """Return which part of the directions' squared lengths lies in filters of one number."""
    whole = signs = 0.0
    for direction in directions.values():
        for name in center.weights:
            filters = as_filters(direction[name].numpy(), center.role(name))
            square = float(np.square(filters, dtype=np.float64).sum())
            whole += square
            signs += square if filters.shape[1] == 1 else 0.0
    return signs / whole if whole > 0 else 0.0


def moved_names(center: Center, ignore: str) -> list[str]:
    """Return the names of the parameters that a direction moves, in the center's order."""
    return [name for name in center.weights if not center.ignores(name, ignore)]


def problem_at(center: Center) -> Problem:
    """Return the problem that a family is made of, which whoever asks for the plane gives."""
    return needed(center.problem)


def needed(value: Value | None) -> Value:
    """Return what a kind needs, as its row and the study's own check promise it."""
    if value is None:
        raise ValueError("the plane lacks a setting or a problem that its kind needs")
    return value


def floating_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Return the real and complex buffers that a checkpoint holds, by name."""
    stored = model.state_dict()
    return {n: b for n, b in model.named_buffers() if n in stored and is_number(b)}


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
