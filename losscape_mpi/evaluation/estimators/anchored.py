"""The estimator `anchors`: all samples at a coarse subgrid, a few samples everywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from losscape_mpi.evaluation.choice.bench import Busy, stay_silent
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.estimators.anchors import (
    add_sampling_error,
    cross_fitted,
    is_uncertain,
    needs_full,
    predict,
)
from losscape_mpi.evaluation.estimators.mean import Evaluator
from losscape_mpi.evaluation.estimators.subset import draw_subsets, restrict
from losscape_mpi.evaluation.forward.passes import Passes
from losscape_mpi.evaluation.network.parameters import Place
from losscape_mpi.geometry.direction import Directions
from losscape_mpi.measure.loss import Loss
from losscape_mpi.measure.sample import SampleMeasure
from losscape_mpi.problem.build import Problem
from losscape_mpi.study.anchor_grid import AnchorPlan, anchor_plan
from losscape_mpi.study.evaluation_config import AnchorsConfig
from losscape_mpi.study.grid import Grid

NO_POINT = -1  # the index of what lies beside the grid


class AnchoredEvaluator:
    """Evaluates anchors and the center on all samples, other points by the cross-fitted estimate.

    The values at the anchors come from whoever computed them (`set_anchors`). The subset's
    per-sample values at the anchors, on which every prediction rests, are computed here once:
    another process gives the same bits, so that nothing but means has to travel.
    """

    def __init__(
        self,
        problem: Problem,
        directions: Directions,
        measures: Sequence[SampleMeasure],
        choices: Choices,
        grid: Grid,
        config: AnchorsConfig,
        device: torch.device | None = None,
        threads: int = 1,
    ) -> None:
        """Place the model and the data.

        Args:
            problem: Model on the CPU, with its data.
            directions: Tensors by axis and name.
            measures: What is averaged over the samples.
            choices: Of the evaluation; no correction.
            grid: The points of the study.
            config: Stride of the anchors; size, seed and tolerance of the subset.
            device: Where to compute.
            threads: CPU threads.
        """
        device = device or torch.device("cpu")
        self.num_axes = len(directions)
        self._tolerance = config.tolerance
        self._grid, self._plan = grid, anchor_plan(grid, config.stride)
        self._in_full = _evaluated_in_full(grid, self._plan)
        rough = {q for m in measures if isinstance(m, Loss) for q in m.quantities}
        self._guarded = rough  # too uncertain an estimate of these is no estimate
        sizes = {name: len(split.targets) for name, split in problem.splits.items()}
        counts = {name: config.count(size) for name, size in sizes.items()}
        self._subsets = draw_subsets(problem, counts, config.seed)
        self._full = Evaluator(problem, directions, measures, choices, device, threads)
        few = restrict(problem, self._subsets)
        self._few = Passes(few, directions, measures, choices, device, threads)
        # Where a point has few batches, each thread takes a point of its own.
        self.group = max(len(self._few.replicas), self._full.group)
        self._sizes = sizes
        self._available = {name: split.available for name, split in problem.splits.items()}
        self._means: dict[str, np.ndarray] = {}
        self._samples: dict[str, np.ndarray] = {}

    @property
    def exact(self) -> Evaluator:
        """The evaluator of the anchors."""
        return self._full

    def set_anchors(self, table: np.ndarray, busy: Busy = stay_silent) -> None:
        """Take what is known of the anchors, and compute the subset's values there.

        Args:
            table: Value columns at the anchors, float64 of shape (A, num_columns).
            busy: Called after each pass, as a sign of life.
        """
        width = 2 * (len(self._few.names) - 1) + 1
        for k, name in enumerate(self._sizes):
            columns = table[:, k * width : (k + 1) * width]
            self._means[name] = columns[:, :-1:2].T  # (metrics, A): without errors and counts
        points = [self._grid.point(index) for index in self._plan.anchors]
        parts: dict[str, list[np.ndarray]] = {name: [] for name in self._sizes}
        for count, values in self._few.values(points):
            for name, each in values.items():
                parts[name].append(each[:-1, :count].cpu().numpy().copy())
            busy()
        # (metrics, A, n)
        self._samples = {name: np.concatenate(part, axis=1) for name, part in parts.items()}

    def evaluate(self, alpha: float, beta: float = 0.0) -> np.ndarray:
        """Return the value columns at a point, as `Evaluator.evaluate` does."""
        return next(self.evaluate_many([(alpha, beta)]))

    def evaluate_many(
        self, points: Sequence[Place], indices: Sequence[int] | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the value columns of places in their order.

        Args:
            points: The places.
            indices: Their flat indices on the grid; None evaluates all of them in full.

        Raises:
            RuntimeError: If a point between the anchors is asked for before `set_anchors`.
        """
        indices = [NO_POINT] * len(points) if indices is None else list(indices)
        full = [p for p, k in zip(points, indices, strict=True) if k in self._in_full]
        few = [p for p, k in zip(points, indices, strict=True) if k not in self._in_full]
        # All of them first: a point that falls back computes where they are.
        exact, passes = iter(list(self._full.evaluate_many(full))), self._few.values(few)
        for point, index in zip(points, indices, strict=True):
            if index in self._in_full:
                yield next(exact)
                continue
            row = self._estimate(index, passes)
            yield next(self._full.evaluate_many([point])) if row is None else row

    def _estimate(
        self, index: int, passes: Iterator[tuple[int, dict[str, Tensor]]]
    ) -> np.ndarray | None:
        """Return a point's columns from the next pass; None if it must be evaluated in full."""
        if not self._samples:
            raise RuntimeError(f"point {index} was asked for before its anchors")
        _count, values = next(passes)
        row: list[float] = []
        for name, each in values.items():
            columns = self._columns(name, each[:, 0].cpu().numpy(), index)
            if columns is None:
                return None
            row += columns
        return np.array(row)

    def _columns(self, split: str, fine: np.ndarray, index: int) -> list[float] | None:
        """Return a split's columns, or None if the point must be evaluated on all samples."""
        positions, weights = self._plan.stencil(index)
        columns: list[float] = []
        for k, (metric, values) in enumerate(zip(self._few.names, fine[:-1], strict=False)):
            means = self._means[split][k, positions]
            samples = self._samples[split][k, positions]  # (k, n)
            if needs_full(means, samples, values):
                return None
            estimate, error = cross_fitted(
                values,
                predict(weights, samples),
                float(predict(weights, means)),
                self._sizes[split],
                self._subsets[split].halves,
            )
            is_rough = metric in self._guarded and is_uncertain(estimate, error, self._tolerance)
            if needs_full(estimate, error) or is_rough:
                return None
            both = add_sampling_error(error, values, self._sizes[split], self._available[split])
            columns += [estimate, both]
        return None if fine[-1].any() else [*columns, 0.0]


def _evaluated_in_full(grid: Grid, plan: AnchorPlan) -> set[int]:
    """Return the indices of what is no estimate: anchors, the center, and what is beside the grid.

    The center is checked before there are anchors, wherever it lies.
    """
    at_center = np.flatnonzero((grid.alpha[:, None] == 0) & (grid.beta[None, :] == 0))
    return {int(k) for k in (*plan.anchors, *at_center)} | {NO_POINT}
