"""Measures of single samples: all of them share the forward passes of a point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from losscape_mpi.point.column import Column
from losscape_mpi.problem.build import Problem


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


class SampleMeasure(Protocol):
    """One or several numbers of each sample, which are averaged over the samples."""

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the numbers are, in their order."""

    def columns(self, split: str) -> list[Column]:
        """Return the columns of the means over a split, one for each quantity."""

    def check(self, problem: Problem) -> None:
        """Refuse a problem for which the numbers have no meaning (UserError)."""

    def values(self, outcome: Outcome) -> Tensor:
        """Return the numbers of each sample, shape (len(quantities), b)."""


@dataclass(frozen=True)
class Margin:
    """How far a label's output is from the largest other one: what low precision can turn.

    No measure of a surface: the two-level estimator chooses samples by it.
    """

    quantities: tuple[str, ...] = ("margin",)

    def columns(self, split: str) -> list[Column]:
        """Return its column."""
        return [Column(split, "margin", low=0.0)]

    def check(self, problem: Problem) -> None:
        """Do nothing: accuracy has been checked."""

    def values(self, outcome: Outcome) -> Tensor:
        """Return the margin of each sample, not negative, float64; NaN where an output is."""
        # A label that is no class is always a miss: any margin will do.
        labels = outcome.targets[:, None].clamp(0, outcome.outputs.shape[1] - 1)
        own = outcome.outputs.gather(1, labels)[:, 0]  # (b,)
        others = outcome.outputs.scatter(1, labels, -torch.inf).amax(dim=1)  # (b,)
        return (own - others).abs().to(torch.float64)[None]
