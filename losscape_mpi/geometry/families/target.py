"""Directions to other checkpoints of the same network."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import (
    Axes,
    Center,
    Made,
    floating_buffers,
    needed,
    problem_at,
)
from losscape_mpi.problem.checkpoint import checkpoint_sha256, load_checkpoint
from losscape_mpi.problem.copy import copy_model
from losscape_mpi.problem.number import as_real, numbers_of
from losscape_mpi.study.plane_config import AxisConfig

logger = logging.getLogger(__name__)


def directions(settings: AxisConfig, axes: Axes, center: Center) -> dict[str, Made]:
    """Return the directions to checkpoints, the first along the first axis.

    Args:
        settings: targets and states.
        axes: As many as there are targets.
        center: With the problem.

    Raises:
        UserError: If there are more or fewer targets, or one does not fit the model.
    """
    targets, problem = needed(settings.targets), problem_at(center)
    if len(targets) != len(axes):
        raise UserError(
            f"plane.targets: found {len(targets)}, expected {len(axes)}, one checkpoint for each "
            f"of the axes that it spans ({', '.join(axes)})"
        )
    made = {}
    for axis, path in zip(axes, targets, strict=True):
        other = copy_model(problem.model)
        load_checkpoint(other, path, problem.checkpoint_key)
        start, end = (_moved(one, settings.states) for one in (problem.model, other))
        one = target_direction(start, end, axis, str(path))
        made[axis] = Made(one.direction, one.record | {"states": settings.states})
    return made


def hashes(settings: AxisConfig) -> dict[str, Any]:
    """Return the SHA-256 of each checkpoint."""
    return {"targets": [checkpoint_sha256(path) for path in needed(settings.targets)]}


def target_direction(
    center: Mapping[str, Tensor], target: Mapping[str, Tensor], axis: str, source: str
) -> Made:
    """Return target - center in float64, so that a step of 1 is the target (Goodfellow 2015).

    The difference of two float32 numbers is taken in float64; center + 1 * difference, summed in
    float64 and rounded to float32, is the target bit for bit (but for the sign of a zero) unless
    the center's number is more than 2^28 times as large as the target's: no float64 difference
    can reach those. They, and rounding in a float64 network, are counted: `inexact` in the record.

    Args:
        center: Parameters, and buffers if these move too; of complex ones pairs are given.
        target: The same names, shapes and dtypes.
        axis: alpha or beta, for the messages.
        source: The checkpoint, for the messages.

    Raises:
        UserError: If both are the same.
    """
    ends = {name: (as_real(tensor), as_real(target[name])) for name, tensor in center.items()}
    direction = {name: end.double() - start.double() for name, (start, end) in ends.items()}
    if not any(tensor.any() for tensor in direction.values()):
        raise UserError(
            f"{source} ({axis}): holds the parameters of the center, expected other ones: name "
            "another checkpoint in plane.targets than in problem.checkpoint"
        )
    inexact = 0
    for name, (start, end) in ends.items():
        arrived = (start.double() + direction[name]).to(start.dtype)
        inexact += int((arrived != end).sum())
    if inexact:
        logger.warning(
            "%s (%s): %d numbers are so small beside the center's that the end of the axis misses "
            "them by up to 2^-53 of the center's: it is not this checkpoint bit for bit",
            source,
            axis,
            inexact,
        )
    return Made(direction, {"ignore": "none", "inexact": inexact})


def _moved(model: nn.Module, states: bool) -> dict[str, Tensor]:
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    return numbers_of(parameters) | (floating_buffers(model) if states else {})
