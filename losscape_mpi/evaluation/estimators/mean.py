"""The evaluator: plane coordinates in, values and standard errors out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.forward.passes import Passes
from losscape_mpi.evaluation.forward.sums import Sums, mean_and_error
from losscape_mpi.evaluation.network.parameters import Place
from losscape_mpi.geometry.direction import Directions
from losscape_mpi.measure.sample import SampleMeasure
from losscape_mpi.point.column import Column
from losscape_mpi.problem.build import Problem

PASSES_AHEAD = 4  # of a GPU in one group: the gap between groups is a point's read-back


class Evaluates(Protocol):
    """What every way to evaluate a point offers.

    Attributes:
        group: How many points are best asked for at once.
    """

    group: int

    @property
    def exact(self) -> Evaluator:
        """The evaluator that computes points from all samples in full precision."""

    def evaluate(self, alpha: float, beta: float = 0.0) -> np.ndarray:
        """Return the value columns at a point, float64 of shape (num_columns,)."""

    def evaluate_many(
        self, points: Sequence[Place], indices: Sequence[int] | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the value columns of places in their order.

        Args:
            points: The places.
            indices: Their flat indices on the study's grid; None where they are none of its points.
        """


class Evaluator:
    """Means over a problem's samples at places, with the whole data on the device.

    Attributes:
        num_axes: 2, or 1 for a profile.
        group: How many points are best asked for at once.
    """

    def __init__(
        self,
        problem: Problem,
        directions: Directions,
        measures: Sequence[SampleMeasure],
        choices: Choices,
        device: torch.device | None = None,
        threads: int = 1,
    ) -> None:
        """Place a copy of the model and the data on the device; the problem stays as it is."""
        for measure in measures:
            measure.check(problem)
        self.num_axes = len(directions)
        self.passes = Passes(
            problem, directions, measures, choices, device or torch.device("cpu"), threads
        )
        self.group = self.passes.points * len(self.passes.replicas)
        if self.passes.runs_ahead:
            self.group *= PASSES_AHEAD
        self._available = {name: split.available for name, split in problem.splits.items()}

    @property
    def exact(self) -> Evaluator:
        """This evaluator itself."""
        return self

    def evaluate(self, alpha: float, beta: float = 0.0) -> np.ndarray:
        """Return the value columns at a point, float64 of shape (num_columns,).

        The order is that of `measure.build.sample_columns`: for each split the means, each
        followed by its standard error, then the number of samples with a non-finite output.
        """
        return next(self.evaluate_many([(alpha, beta)]))

    def evaluate_many(
        self,
        points: Sequence[Place],
        indices: Sequence[int] | None = None,  # noqa: ARG002
    ) -> Iterator[np.ndarray]:
        """Yield the value columns of places in their order; indices do not matter here.

        On a GPU the work of a pass is under way before the values of the pass before are read.
        """
        waiting: tuple[int, dict[str, Callable[[], np.ndarray]]] | None = None
        for count, values in self.passes.values(points):
            # (2, names, points) for each split: all that leaves the device.
            sums = {name: _begin_read(_stack(Sums.of(each))) for name, each in values.items()}
            if waiting is not None:
                yield from self._rows(*waiting)
            waiting = (count, sums)
            if not self.passes.runs_ahead:
                yield from self._rows(*waiting)
                waiting = None
        if waiting is not None:
            yield from self._rows(*waiting)

    def _rows(self, count: int, sums: Mapping[str, Callable[[], np.ndarray]]) -> list[np.ndarray]:
        columns = []
        for name, read in sums.items():
            total, deviation = read()  # (names, points) each
            size = self.passes.sizes[name]
            mean, error = mean_and_error(total, deviation, size, self._available[name])
            columns.append(as_columns(mean, error, total))
        return list(np.concatenate(columns).T[:count])


def as_columns(mean: np.ndarray, error: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return a split's columns, shape (num_columns, points), in the order of `sample_columns`.

    Args:
        mean: Of each metric, then of the non-finite samples, shape (names, points).
        error: Standard errors, like mean.
        total: Sums, like mean; the last row counts the samples with a non-finite output.
    """
    pairs = np.stack([mean[:-1], error[:-1]], axis=1)  # (metrics, 2, points)
    return np.concatenate([pairs.reshape(-1, mean.shape[1]), total[-1:]])


def is_finite(row: np.ndarray, columns: Sequence[Column]) -> bool:
    """Return whether all results of a point are finite (standard errors do not count)."""
    values = [v for v, column in zip(row, columns, strict=True) if column.role != "error"]
    return bool(np.isfinite(values).all())


def _stack(sums: Sums) -> Tensor:
    return torch.stack([sums.total, sums.deviation])


def _begin_read(values: Tensor) -> Callable[[], np.ndarray]:
    """Return what waits for a tensor's numbers and gives them; a GPU's are on their way at once.

    So the wait ends with the copy, whatever else is asked of the GPU in between.
    """
    if values.device.type == "cpu":
        return values.numpy
    here = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    here.copy_(values, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()

    def read() -> np.ndarray:
        arrived.synchronize()
        return here.numpy()

    return read
