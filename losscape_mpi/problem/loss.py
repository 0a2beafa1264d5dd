"""The loss of each sample: cross-entropy, squared error, or the user's own."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from losscape_mpi.errors import UserError
from losscape_mpi.problem.callables import import_callable
from losscape_mpi.study.code import is_callable_spec

Criterion = Callable[[Tensor, Tensor], Tensor]
"""(outputs, targets) -> the loss of each sample, shape (n,), floating."""


def build_criterion(name: str) -> Criterion:
    """Return the per-sample loss of that name.

    Args:
        name: cross_entropy, mse, or package.module:callable for your own, which is called as
            callable(outputs, targets) and returns one loss per sample.

    Raises:
        UserError: If the name is unknown or the callable cannot be imported.
    """
    if is_callable_spec(name):
        return _checked(import_callable(name), name)
    losses: dict[str, Criterion] = {"cross_entropy": cross_entropy, "mse": mse}
    if name not in losses:
        raise UserError(
            f"found loss {name!r}, expected {', '.join(losses)} or package.module:callable"
        )
    return losses[name]


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return minus the log-probability of each sample's class, shape (n,).

    Log-softmax is taken in the precision of the logits, at least float32: the arithmetic of
    training loops. Surfaces are computed with float64 logits (`widened`). Logits that are not
    finite give what IEEE arithmetic gives.

    Args:
        outputs: Logits (n, num_classes).
        targets: Class labels (n,), int64.

    Raises:
        UserError: If the logits are not (n, num_classes) or the targets are no labels.
    """
    if outputs.ndim != 2 or targets.is_floating_point():
        raise UserError(
            f"loss cross_entropy: found outputs {_described(outputs)} and targets "
            f"{_described(targets)}, expected logits (n, classes) and integer labels (n,)"
        )
    precision = torch.promote_types(outputs.dtype, torch.float32)
    log_probability = F.log_softmax(outputs, dim=1, dtype=precision)  # (n, num_classes)
    return -log_probability.gather(1, targets[:, None]).squeeze(1)  # (n,)


def widened(criterion: Criterion) -> Criterion:
    """Return a built-in loss that takes the network's outputs in float64; another one as it is.

    Log-softmax in float32 makes the loss of a well trained network wrong by 1e-5 relative, in
    float64 by 2e-7 (docs/design.md); these are a few numbers of each sample. A loss of the user's
    may hold float32 weights of its own, so it gets what the network gives.
    """
    if criterion not in (cross_entropy, mse):
        return criterion
    return lambda outputs, targets: criterion(outputs.double(), targets)


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error over each sample's outputs, shape (n,), float64.

    Args:
        outputs: (n, ...).
        targets: (n, ...) with as many values per sample, or class labels (n,), which become
            one-hot vectors.

    Raises:
        UserError: If a sample has another number of outputs than of targets.
    """
    predicted = outputs.double().flatten(1) if outputs.ndim > 1 else outputs.double()[:, None]
    if not targets.is_floating_point():
        targets = F.one_hot(targets, predicted.shape[1])  # (n, outputs)
    wanted = targets.double().reshape(len(targets), -1)
    if predicted.shape != wanted.shape:  # (n, 3) against (n, 1) would broadcast
        raise UserError(
            f"loss mse: found outputs {_described(outputs)} and targets {_described(targets)}, "
            "expected as many values in each sample"
        )
    return (predicted - wanted).square().mean(dim=1)  # (n,)


def _checked(function: Callable[..., object], name: str) -> Criterion:
    """Return the user's loss with a look at what it returns: one floating value per sample."""

    def criterion(outputs: Tensor, targets: Tensor) -> Tensor:
        losses = function(outputs, targets)
        if not isinstance(losses, Tensor):
            raise UserError(
                f"loss {name} returned a {type(losses).__name__}, expected a tensor of one "
                "floating loss per sample"
            )
        if losses.shape != (len(targets),) or not losses.is_floating_point():
            raise UserError(
                f"loss {name} returned {_described(losses)}, expected one floating loss per "
                f"sample, shape ({len(targets)},): is its reduction 'none'?"
            )
        return losses

    return criterion


def _described(tensor: Tensor) -> str:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return f"{dtype} of shape {tuple(tensor.shape)}"
