"""Directions from a file: arrays by name, or arrays without names that are matched by order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import Direction, as_float32

Shape = tuple[int, ...]


def named_direction(
    arrays: Mapping[str, np.ndarray],
    center: Mapping[str, np.ndarray],
    buffers: Mapping[str, Shape],
    source: str,
) -> Direction:
    """Return the direction that a file's arrays are, matched by name and shape, never cut.

    float64 stays float64, so that a direction to another checkpoint keeps its end.

    Args:
        arrays: By the names of parameters, and of buffers where the direction moves them.
        center: The trained floating parameters.
        buffers: Shapes of the model's floating buffers.
        source: File and axis, for the message.

    Raises:
        UserError: If a name is missing or unexpected, or a shape differs.
    """
    shapes = {name: weight.shape for name, weight in center.items()}
    missing = [name for name in shapes if name not in arrays]
    unexpected = sorted(set(arrays) - set(shapes) - set(buffers))
    for names, word in ((missing, "lacks"), (unexpected, "holds unexpected")):
        if names:
            raise UserError(
                f"{source}: {word} {names[0]} (and {len(names) - 1} more), expected one array for "
                "each floating parameter: take the direction file of this network"
            )
    shapes |= {name: shape for name, shape in buffers.items() if name in arrays}
    for name, shape in shapes.items():
        if arrays[name].shape != tuple(shape):
            raise UserError(
                f"{source}: {name} has shape {arrays[name].shape}, expected {tuple(shape)}: take "
                "the direction file of this network"
            )
    return {
        name: torch.from_numpy(np.array(arrays[name], order="C"))
        if arrays[name].dtype == np.float64
        else as_float32(arrays[name])
        for name in shapes
    }


def file_direction(
    arrays: Sequence[np.ndarray], center: Mapping[str, np.ndarray], source: str
) -> Direction:
    """Return the direction that a file's arrays are, matched by order and shape, never cut.

    The 2018 tool (tomgoldstein/loss-landscape) writes arrays in the order of `parameters()`, or,
    for states, in that of `state_dict()` with running mean, running variance and maybe
    `num_batches_tracked` after each norm layer. Of a states file only the parameters are taken,
    and only where all entries of the running statistics are 0.

    Args:
        arrays: One array per tensor.
        center: The trained floating parameters, in the order of `parameters()`.
        source: File and axis, for the message.

    Raises:
        UserError: If number or shapes differ, or if running statistics would move.
    """
    if len(arrays) == len(center):
        _check_shapes(arrays, center, source)
        chosen = list(range(len(arrays)))
    else:
        chosen = _parameters_of_states(arrays, center, source)
    return {name: as_float32(arrays[index]) for name, index in zip(center, chosen, strict=True)}


def _check_shapes(
    arrays: Sequence[np.ndarray], center: Mapping[str, np.ndarray], source: str
) -> None:
    for index, (name, weight) in enumerate(center.items()):
        if arrays[index].shape != weight.shape:
            raise UserError(
                f"{source}: array {index} has shape {arrays[index].shape}, expected "
                f"{weight.shape} of {name}: take the direction file of this network"
            )


def _parameters_of_states(
    arrays: Sequence[np.ndarray], center: Mapping[str, np.ndarray], source: str
) -> list[int]:
    """Return the indices of the parameters among the arrays of a states file."""
    for num_buffers in (2, 3):
        layout = _states_layout(center, num_buffers)
        # The tool of 2018 stores num_batches_tracked as 0-d or as one entry.
        if len(layout) == len(arrays) and all(
            array.shape == shape or (shape == () and array.size == 1)
            for array, (_, shape) in zip(arrays, layout, strict=True)
        ):
            break
    else:
        raise UserError(
            f"{source}: found {len(arrays)} arrays, expected {len(center)}, one for each "
            "parameter: take the direction file of this network, made from its weights, not states"
        )
    for index, (is_parameter, _) in enumerate(layout):
        if not is_parameter and np.any(arrays[index]):
            raise UserError(
                f"{source}: a states file whose array {index} moves running statistics; expected "
                "parameters only: make the directions from weights"
            )
    return [index for index, (is_parameter, _) in enumerate(layout) if is_parameter]


def _states_layout(center: Mapping[str, np.ndarray], num_buffers: int) -> list[tuple[bool, Shape]]:
    """Return (is a parameter, shape) of each entry if all norm layers keep running statistics."""
    layout: list[tuple[bool, Shape]] = []
    for name, weight in center.items():
        layout.append((True, weight.shape))
        stem, _, leaf = name.rpartition(".")
        scale = center.get(f"{stem}.weight")
        if leaf == "bias" and scale is not None and scale.ndim == 1:
            buffers = [weight.shape, weight.shape, ()][:num_buffers]
            layout += [(False, shape) for shape in buffers]
    return layout
