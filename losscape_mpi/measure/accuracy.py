"""The share of the samples whose largest output is their label's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import DirectionArrays, Directions
from losscape_mpi.measure.sample import Outcome
from losscape_mpi.point.column import Column, accuracy_column
from losscape_mpi.problem.build import Problem


@dataclass(frozen=True)
class Accuracy:
    """1 where the largest output is the label's, else 0.

    A sample with an output that is not finite counts as wrong (its argmax means nothing).
    """

    quantities: tuple[str, ...] = ("accuracy",)

    def columns(self, split: str) -> list[Column]:
        """Return the column of the share."""
        return [accuracy_column(split)]

    def check(self, problem: Problem) -> None:
        """Check that the targets are class labels.

        Raises:
            UserError: If they are not.
        """
        for name, split in problem.splits.items():
            if split.targets.is_floating_point():
                raise UserError(
                    f"metric accuracy needs class labels, but the {name} split has floating "
                    "targets; set metrics: [loss]"
                )

    def values(self, outcome: Outcome) -> Tensor:
        """Return hit or miss of each sample, float64.

        Raises:
            UserError: If the outputs are not one number for each class.
        """
        if outcome.outputs.ndim != 2 or outcome.outputs.shape[1] < 2:
            raise UserError(
                f"metric accuracy: found outputs of shape {tuple(outcome.outputs.shape[1:])} for "
                "each sample, expected one for each class; set metrics: [loss]"
            )
        predicted = outcome.outputs.argmax(dim=1)  # (b,)
        return ((predicted == outcome.targets) & outcome.finite).to(torch.float64)[None]


def make(problem: Problem, directions: Directions | DirectionArrays) -> Accuracy:  # noqa: ARG001
    """Return the measure: it is the same for every problem."""
    return Accuracy()
