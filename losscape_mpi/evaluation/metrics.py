"""The metrics: one function each, one value for each sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from losscape_mpi.errors import UserError


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a forward pass gave for one batch of b samples.

    Attributes:
        outputs: The model's outputs, shape (b, ...).
        targets: Class labels (b,) or regression targets.
        losses: The criterion's value for each sample, float64 of shape (b,).
        finite: Whether all outputs of a sample are finite, shape (b,).
    """

    outputs: Tensor
    targets: Tensor
    losses: Tensor
    finite: Tensor


def sample_losses(outcome: Outcome) -> Tensor:
    """Return the loss of each sample, NaN and infinity as the criterion gives them."""
    return outcome.losses


def sample_hits(outcome: Outcome) -> Tensor:
    """Return 1 where the largest output is the label's, else 0.

    A sample with an output that is not finite counts as wrong (its argmax means nothing).

    Raises:
        UserError: If the outputs are not one number for each class.
    """
    if outcome.outputs.ndim != 2 or outcome.outputs.shape[1] < 2:
        raise UserError(
            f"metric accuracy: found outputs of shape {tuple(outcome.outputs.shape[1:])} for each "
            "sample, expected one for each class; set metrics: [loss]"
        )
    predicted = outcome.outputs.argmax(dim=1)  # (b,)
    return ((predicted == outcome.targets) & outcome.finite).to(torch.float64)


def sample_margins(outcome: Outcome) -> Tensor:
    """Return how far the label's output is from the largest other one, not negative, float64.

    A small margin is what rounding can turn into another hit or miss. NaN where an output is.
    """
    # A label that is no class is always a miss: any margin will do.
    labels = outcome.targets[:, None].clamp(0, outcome.outputs.shape[1] - 1)
    own = outcome.outputs.gather(1, labels)[:, 0]  # (b,)
    others = outcome.outputs.scatter(1, labels, -torch.inf).amax(dim=1)  # (b,)
    return (own - others).abs().to(torch.float64)


Metric = Callable[[Outcome], Tensor]

METRICS: dict[str, Metric] = {
    "loss": sample_losses,
    "accuracy": sample_hits,
}

# What a sample can have a value of; the margin is no metric of a surface.
SAMPLE_VALUES: dict[str, Metric] = {**METRICS, "margin": sample_margins}
