"""The mean loss over the samples."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from losscape_mpi.geometry.direction import DirectionArrays, Directions
from losscape_mpi.measure.sample import Outcome
from losscape_mpi.point.column import Column, loss_column
from losscape_mpi.problem.build import Problem


@dataclass(frozen=True)
class Loss:
    """The criterion's value, NaN and infinity as it gives them."""

    quantities: tuple[str, ...] = ("loss",)

    def columns(self, split: str) -> list[Column]:
        """Return the column of the mean loss."""
        return [loss_column(split)]

    def check(self, problem: Problem) -> None:
        """Do nothing: every problem has a loss."""

    def values(self, outcome: Outcome) -> Tensor:
        """Return the loss of each sample, float64."""
        return outcome.losses[None]


def make(problem: Problem, directions: Directions | DirectionArrays) -> Loss:  # noqa: ARG001
    """Return the measure: it is the same for every problem."""
    return Loss()
