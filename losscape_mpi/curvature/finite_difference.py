"""Whether the gradient that torch gives is the derivative of the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from losscape_mpi.curvature.products import exact_arithmetic
from losscape_mpi.errors import UserError
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.copy import copy_model
from losscape_mpi.problem.number import as_real, cast_model

SAMPLES = 8
OFFSET = 0.1  # of each tensor's length: at a minimum the derivative would be 0
# Of each tensor's length. In float64 the first is exact to 1e-9; a network that rounds to float32
# on its way needs one of the others.
STEPS = (1e-6, 1e-4, 1e-3, 1e-2)
TOLERANCE = 0.01
FLOOR = 1e-6  # of |gradient| |direction|: below that a derivative is 0


def check_gradient(problem: Problem, names: Sequence[str], split: str | None = None) -> None:
    """Compare the loss's gradient with differences of the loss, off the center along one direction.

    In float64 on a few samples; a network that does not run in float64 is not checked.

    Args:
        problem: Model, criterion and data; stays as it is.
        names: Parameters by which the loss is differentiated.
        split: Whose samples are taken; None takes the first.

    Raises:
        UserError: If they differ: a part of the forward pass is hidden from autograd.
    """
    split = split or next(iter(problem.splits))
    model = cast_model(copy_model(problem.model), torch.float64).eval().requires_grad_(False)
    named = dict(model.named_parameters())
    chosen = {name: named[name] for name in names if name in named}
    loss = _loss(problem, model, split)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad(), exact_arithmetic():
        for tensor in chosen.values():
            tensor.add_(_like(tensor, generator), alpha=OFFSET)
    try:
        slopes = _gradient(loss, chosen)
        found = _compared(loss, chosen, slopes, generator)
    except (RuntimeError, TypeError, ValueError):
        return  # no float64, or no derivative at all: who needs it will say so
    if found is None:
        return
    alone = (n for n in chosen if _compared(loss, {n: chosen[n]}, {n: slopes[n]}, generator))
    hidden = next(alone, None)
    raise UserError(
        "the gradient that torch gives is not the derivative of the loss: "
        f"{found[0]:.6g} along a direction in which the loss grows by {found[1]:.6g}"
        + (f" (parameter {hidden})" if hidden else "")
        + "; expected a forward that detaches and rounds nothing that moves: without it take "
        "metrics without gradient, and another kind of plane than gradient or eigenvectors"
    )


def _loss(problem: Problem, model: nn.Module, split: str) -> Callable[[], Tensor]:
    data = problem.splits[split]
    inputs, targets = data.inputs[:SAMPLES], data.targets[:SAMPLES]
    inputs, targets = (t.double() if t.is_floating_point() else t for t in (inputs, targets))
    return lambda: problem.criterion(model(inputs), targets).double().mean()


def _gradient(loss: Callable[[], Tensor], chosen: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    tensors = list(chosen.values())
    for tensor in tensors:
        tensor.requires_grad_()
    try:
        with torch.enable_grad(), exact_arithmetic():
            found = torch.autograd.grad(loss(), tensors, allow_unused=True, materialize_grads=True)
    finally:
        for tensor in tensors:
            tensor.requires_grad_(False)
    return dict(zip(chosen, found, strict=True))


@torch.no_grad()
def _compared(
    loss: Callable[[], Tensor],
    chosen: dict[str, nn.Parameter],
    slopes: dict[str, Tensor],
    generator: torch.Generator,
) -> tuple[float, float] | None:
    """Return the derivative by torch and by a difference of the loss; None if they agree."""
    direction = {name: _like(tensor, generator) for name, tensor in chosen.items()}
    slope = sum(float((as_real(slopes[n]) * as_real(d)).sum()) for n, d in direction.items())
    floor = FLOOR * _length(slopes) * _length(direction)
    found = (slope, slope)
    for step in STEPS:
        difference = (_at(loss, chosen, direction, step) - _at(loss, chosen, direction, -step)) / (
            2 * step
        )
        if not abs(difference - slope) > TOLERANCE * max(abs(slope), abs(difference)) + floor:
            return None  # NaN says nothing
        found = found if found[0] != found[1] else (slope, difference)
    return found


def _at(
    loss: Callable[[], Tensor],
    chosen: dict[str, nn.Parameter],
    direction: dict[str, Tensor],
    step: float,
) -> float:
    kept = {name: tensor.clone() for name, tensor in chosen.items()}
    for name, tensor in chosen.items():
        tensor.add_(direction[name], alpha=step)
    try:
        with exact_arithmetic():
            return float(loss())
    finally:
        for name, tensor in chosen.items():
            tensor.copy_(kept[name])


def _like(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Return a random tensor of the length of another one; of length 1 where that is 0."""
    drawn = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
    return drawn * (float(tensor.norm()) or 1.0) / (float(drawn.norm()) or 1.0)


def _length(tensors: dict[str, Tensor]) -> float:
    return sum(float(as_real(tensor).square().sum()) for tensor in tensors.values()) ** 0.5
