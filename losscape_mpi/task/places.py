"""Measures at places: the rows of a surface, a profile or a training path."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from torch import nn

from losscape_mpi.evaluation.checks import check_determinism
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.decide import build_evaluator
from losscape_mpi.evaluation.estimators.anchored import AnchoredEvaluator
from losscape_mpi.evaluation.estimators.mean import is_finite
from losscape_mpi.evaluation.network.network import Network
from losscape_mpi.evaluation.network.parameters import Place
from losscape_mpi.geometry.direction import Directions
from losscape_mpi.measure.build import Measures
from losscape_mpi.measure.place import Setting
from losscape_mpi.point.frames import ANCHORS
from losscape_mpi.point.records import Answers, Chunk, row_answer
from losscape_mpi.point.status import DONE, NONFINITE
from losscape_mpi.problem.build import Problem
from losscape_mpi.study.grid import Grid
from losscape_mpi.task.job import CHECKPOINTS, GRID, Job
from losscape_mpi.task.states import States
from losscape_mpi.task.task import Host


class PlacesTask:
    """A row of float64 for each place: means over the samples, then measures of the place."""

    def __init__(
        self,
        job: Job,
        problem: Problem,
        measures: Measures,
        directions: Directions,
        choices: Choices,
        host: Host,
    ) -> None:
        """Place model and data on the device.

        Args:
            job: What is asked for.
            problem: Its problem.
            measures: What is computed at each place.
            directions: Tensors by axis and name; for checkpoints all that they set.
            choices: How to evaluate.
            host: The process.
        """
        self._problem, self._host, self._columns = problem, host, measures.columns
        self._evaluator = build_evaluator(
            job.study,
            problem,
            directions,
            measures.samples,
            choices,
            host.device,
            host.threads,
            is_grid=job.where == GRID,
        )
        self._extra = _Extra(job, problem, measures, directions, choices, host)
        self._is_grid = job.where == GRID
        self._locate = _locator(job, problem.model)
        self._start: Place = (0.0, 0.0)[: len(directions)]
        if job.where == CHECKPOINTS:
            self._start = self._locate(0)

    def reference(self) -> np.ndarray:
        """Return the row at the center, or of the first checkpoint.

        Raises:
            UserError: If this process proves, and two passes differ.
        """
        if not self._host.proves:
            return self._row(self._start)
        return check_determinism(self._row, self._evaluator, self._problem, self._start)

    def rehearse(self) -> int:
        """Evaluate the reference as often as points are evaluated at once."""
        group = self._evaluator.group
        for row in self._evaluator.evaluate_many([self._start] * group):
            self._extra(self._start, row)
        return group

    def answers(self, chunk: Chunk) -> Iterator[Answers]:
        """Yield the row of each index; those that are computed together share their seconds."""
        group = self._evaluator.group
        for start in range(0, len(chunk.indices), group):
            indices = [int(index) for index in chunk.indices[start : start + group]]
            began = time.perf_counter()
            places = [self._locate(index) for index in indices]
            own = indices if self._is_grid else None
            rows = list(self._evaluator.evaluate_many(places, own))
            rows = [self._extra(place, row) for place, row in zip(places, rows, strict=True)]
            seconds = (time.perf_counter() - began) / len(indices)
            for index, row in zip(indices, rows, strict=True):
                status = DONE if is_finite(row, self._columns) else NONFINITE
                yield row_answer(chunk.id, index, row, status, seconds)

    def take(self, kind: bytes, block: bytes) -> None:
        """Take the values at the anchors."""
        if kind != ANCHORS or not isinstance(self._evaluator, AnchoredEvaluator):
            raise ValueError(f"found block {kind!r}, expected the values at anchors")
        table = np.frombuffer(block, dtype="<f8").reshape(-1, len(self._columns))
        self._evaluator.set_anchors(table, self._host.busy)

    def _row(self, place: Place) -> np.ndarray:
        return self._extra(place, next(self._evaluator.evaluate_many([place])))


class _Extra:
    """Appends to a row what the measures of the place give."""

    def __init__(
        self,
        job: Job,
        problem: Problem,
        measures: Measures,
        directions: Directions,
        choices: Choices,
        host: Host,
    ) -> None:
        self._network: Network | None = None
        self._rows: list[Callable[[nn.Module], np.ndarray]] = []
        if not measures.places:
            return
        is_wide = choices.precision == "float64"
        plain = replace(
            choices,
            precision="float64" if is_wide else "float32",
            points_per_pass=1,
            fused=False,
            correction=0,
        )
        self._network = Network(problem.model, directions, plain, host.device)
        setting = Setting(
            host.device, host.threads, choices.batch_size, job.tensors(), choices.widens
        )
        self._rows = [measure.bind(problem, setting) for measure in measures.places]

    def __call__(self, place: Place, row: np.ndarray) -> np.ndarray:
        if self._network is None:
            return row
        self._network.move([place])
        model = self._network.original
        return np.concatenate([row, *(compute(model) for compute in self._rows)])


def _locator(job: Job, model: nn.Module) -> Callable[[int], Place]:
    """Return what gives the place of an index."""
    if job.where == CHECKPOINTS:
        return States(model, job.files, job.study.problem.checkpoint_key)
    if job.where == GRID:
        grid, num_axes = Grid.from_config(job.study.grid), len(job.directions)
        return lambda index: grid.point(index)[:num_axes]
    return lambda index: tuple(job.points[index].tolist())
