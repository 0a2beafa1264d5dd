"""Low precision on all samples, corrected by float32 on some: the two-level estimator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from losscape_mpi.evaluation.anchors import add_sampling_error, needs_full, two_level
from losscape_mpi.evaluation.choices import Choices
from losscape_mpi.evaluation.evaluator import Evaluator
from losscape_mpi.evaluation.passes import Passes, Point
from losscape_mpi.evaluation.subset import draw_subsets, restrict
from losscape_mpi.problem.build import Problem

SURE = 3.0  # standard errors that must fit the tolerance; 0.3 % of normal errors are larger
SEED = 0


class CorrectedEvaluator:
    """mean_all(low) + mean_S(float32 - low), and float32 on all where that would be too rough.

    Giles 2008 (multilevel Monte Carlo), two levels. A point is evaluated in float32 altogether if
    its loss's correction has three standard errors, or its accuracy's has one, above the
    tolerance, or if low precision gives anything that is not finite. Which points these are is a
    function of the point alone.
    """

    def __init__(
        self,
        problem: Problem,
        directions: Mapping[str, Mapping[str, Tensor]],
        metrics: Sequence[str],
        choices: Choices,
        device: torch.device | None = None,
        threads: int = 1,
    ) -> None:
        """Place the model and the data in both precisions.

        Args:
            problem: Model on the CPU, with its data.
            directions: Tensors by axis and name.
            metrics: Names of the metrics.
            choices: With a low precision, a correction and a tolerance.
            device: Where to compute.
            threads: CPU threads.
        """
        device = device or torch.device("cpu")
        self.num_axes = len(directions)
        self._tolerance = choices.tolerance
        exact = replace(choices, precision="float32", correction=0)
        counts = {n: min(choices.correction, len(s.targets)) for n, s in problem.splits.items()}
        self._subsets = draw_subsets(problem, counts, SEED)
        few = restrict(problem, self._subsets)
        self._exact = Evaluator(problem, directions, metrics, exact, device, threads)
        self._low = Passes(problem, directions, metrics, choices, device, threads)
        self._high = Passes(few, directions, metrics, exact, device, threads)
        # Where a point has few batches, each thread takes a point of its own.
        self.group = max(len(self._low.lanes), len(self._high.lanes))
        self._available = {name: split.available for name, split in problem.splits.items()}

    @property
    def core(self) -> Evaluator:
        """The evaluator in float32, on the same device."""
        return self._exact

    def evaluate(self, alpha: float, beta: float = 0.0) -> np.ndarray:
        """Return the value columns at a point, as `Evaluator.evaluate` does."""
        return next(self.evaluate_many([(alpha, beta)]))

    def evaluate_many(self, points: Sequence[Point]) -> Iterator[np.ndarray]:
        """Yield the value columns of points in their order."""
        passes = zip(points, self._low.values(points), self._high.values(points), strict=True)
        for point, (_, low), (_, high) in passes:
            row = self._row(low, high)
            yield self._exact.evaluate(*point) if row is None else row

    def _row(self, low: Mapping[str, Tensor], high: Mapping[str, Tensor]) -> np.ndarray | None:
        """Return a point's columns, or None if float32 must do it."""
        row: list[float] = []
        for name, values in low.items():
            both = (each[:, 0].cpu().numpy() for each in (values, high[name]))  # (names, m) each
            columns = self._columns(name, *both)
            if columns is None:
                return None
            row += columns
        return np.array(row)

    def _columns(self, split: str, low: np.ndarray, high: np.ndarray) -> list[float] | None:
        """Return a split's columns, or None if float32 must do it."""
        chosen = self._subsets[split].samples
        columns: list[float] = []
        for name, all_low, some_high in zip(self._low.names, low, high, strict=True):
            if name == "nonfinite":
                continue
            some_low = all_low[chosen]
            estimate, error = two_level(all_low, some_low, some_high, len(all_low))
            if needs_full(estimate, error) or self._is_rough(name, estimate, error):
                return None
            both = add_sampling_error(error, all_low, len(all_low), self._available[split])
            columns += [estimate, both]
        return None if low[-1].any() or high[-1].any() else [*columns, 0.0]

    def _is_rough(self, metric: str, estimate: float, error: float) -> bool:
        if metric == "accuracy":
            # One standard error: a single changed hit among the subset is no reason to doubt.
            return error > self._tolerance
        return SURE * error > self._tolerance * abs(estimate)


def needed_samples(deviation: float, value: float, tolerance: float, size: int) -> int:
    """Return the samples whose correction has three standard errors within the tolerance.

    Args:
        deviation: Standard deviation over samples of float32 - low.
        value: The loss in float32.
        tolerance: Relative.
        size: Samples of the split (m); s/sqrt(n) sqrt(1 - n/m) is solved for n.
    """
    wanted = tolerance * abs(value) / SURE
    if not (wanted > 0 and math.isfinite(deviation)):
        return size
    ratio = (deviation / wanted) ** 2
    return min(size, math.ceil(ratio / (1 + ratio / size)))
