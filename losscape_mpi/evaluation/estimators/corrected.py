"""Low precision on all samples, corrected by float32 on some: the two-level estimator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.estimators.anchors import add_sampling_error, needs_full
from losscape_mpi.evaluation.estimators.mean import Evaluator
from losscape_mpi.evaluation.estimators.strata import Strata, choose_strata, corrected_mean
from losscape_mpi.evaluation.forward.passes import Passes
from losscape_mpi.evaluation.network.parameters import Place
from losscape_mpi.geometry.direction import Directions
from losscape_mpi.measure.accuracy import Accuracy
from losscape_mpi.measure.sample import Margin, SampleMeasure
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.data.split import Split, seeded_bits

SURE = 3.0  # standard errors that must fit the tolerance; 0.3 % of normal errors are larger
SEED = 0


class CorrectedEvaluator:
    """Low precision on all samples and float32 on some, or on all where that would be too rough.

    A point is evaluated in float32 altogether if its loss's correction has three standard errors,
    or its accuracy's has one, above the tolerance, or if low precision gives anything that is not
    finite. Which points these are is a function of the point alone.
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
        """Place the model and the data in both precisions.

        Args:
            problem: Model on the CPU, with its data.
            directions: Tensors by axis and name.
            measures: What is averaged over the samples.
            choices: With a low precision, a correction and a tolerance.
            device: Where to compute.
            threads: CPU threads.
        """
        self._device = device or torch.device("cpu")
        self.num_axes = len(directions)
        self._choices = choices
        exact = replace(choices, precision="float32", correction=0)
        self._exact = Evaluator(problem, directions, measures, exact, self._device, threads)
        self._shares = shares(measures)
        low = low_measures(measures)
        self._low = Passes(problem, directions, low, choices, self._device, threads)
        few = replace(
            problem, splits={n: _first(s, choices.correction) for n, s in problem.splits.items()}
        )
        self._high = Passes(
            few, directions, measures, exact, self._device, threads, is_refilled=True
        )
        # Where a point has few batches, each thread takes a point of its own.
        self.group = len(self._low.replicas)
        self._keys = {name: sample_keys(name, size) for name, size in self._low.sizes.items()}
        self._available = {name: split.available for name, split in problem.splits.items()}

    @property
    def exact(self) -> Evaluator:
        """The evaluator in float32, on the same device."""
        return self._exact

    def evaluate(self, alpha: float, beta: float = 0.0) -> np.ndarray:
        """Return the value columns at a point, as `Evaluator.evaluate` does."""
        return next(self.evaluate_many([(alpha, beta)]))

    def evaluate_many(
        self,
        points: Sequence[Place],
        indices: Sequence[int] | None = None,  # noqa: ARG002
    ) -> Iterator[np.ndarray]:
        """Yield the value columns of places in their order; indices do not matter here."""
        for point, (_, values) in zip(points, self._low.values(points), strict=True):
            low = {name: _by_name(self._low, each) for name, each in values.items()}
            row = self._row(point, low)
            yield next(self._exact.evaluate_many([point])) if row is None else row

    def _row(self, point: Place, low: Mapping[str, Mapping[str, np.ndarray]]) -> np.ndarray | None:
        """Return a point's columns, or None if float32 must do it."""
        if any(values["nonfinite"].any() for values in low.values()):
            return None
        strata = {
            name: choose_strata(values, self._keys[name], self._high.sizes[name])
            for name, values in low.items()
        }
        samples = {n: torch.from_numpy(s.samples).to(self._device) for n, s in strata.items()}
        self._high.refill(samples, self._exact.passes)
        _, values = next(self._high.values([point]))
        row: list[float] = []
        for split, each in values.items():
            high = _by_name(self._high, each)
            columns = split_columns(
                low[split],
                high,
                strata[split],
                self._choices.tolerance,
                self._available[split],
                self._shares,
            )
            if columns is None:
                return None
            row += columns
        return np.array(row)


def low_measures(measures: Sequence[SampleMeasure]) -> list[SampleMeasure]:
    """Return what low precision must give of each sample, so that the strata can be chosen."""
    has_hits = any(isinstance(measure, Accuracy) for measure in measures)
    return [*measures, Margin()] if has_hits else list(measures)


def shares(measures: Sequence[SampleMeasure]) -> frozenset[str]:
    """Return the quantities that are a share of the samples: hits and misses."""
    columns = (column for measure in measures for column in measure.columns(""))
    return frozenset(column.quantity for column in columns if column.is_share)


def sample_keys(split: str, size: int) -> np.ndarray:
    """Return the places of a split's samples in the random order that all points share, (m,)."""
    order = np.argsort(seeded_bits(SEED, f"subset/{split}").random_raw(size), kind="stable")
    keys = np.empty(size, dtype=np.int64)
    keys[order] = np.arange(size)
    return keys


def split_columns(
    low: Mapping[str, np.ndarray],
    high: Mapping[str, np.ndarray],
    strata: Strata,
    tolerance: float,
    available: int,
    hits: Set[str],
) -> list[float] | None:
    """Return the value columns of a split, or None if float32 must compute all of its samples.

    Args:
        low: Values of all samples in low precision, by name, (m,) each.
        high: Values of the chosen samples in float32, by metric, (n,) each, and `nonfinite`.
        strata: The chosen samples.
        tolerance: Largest error of a loss, relative, or of an accuracy, absolute.
        available: Samples that the whole split has (M).
        hits: Which of the values are 0 or 1.
    """
    columns: list[float] = []
    for name in (name for name in high if name != "nonfinite"):
        is_hit = name in hits
        estimate, error = corrected_mean(low[name], high[name], strata, is_hit=is_hit)
        # The error of hits is an upper limit already: one of them is enough.
        is_rough = error > tolerance if is_hit else SURE * error > tolerance * abs(estimate)
        if needs_full(estimate, error) or is_rough:
            return None
        size = len(low[name])
        columns += [estimate, add_sampling_error(error, low[name], size, available)]
    return None if high["nonfinite"].any() else [*columns, 0.0]


def _by_name(passes: Passes, values: Tensor) -> dict[str, np.ndarray]:
    """Return the values of a pass's first point as float64 arrays (m,), by name."""
    return dict(zip(passes.names, values[:, 0].cpu().numpy(), strict=True))


def _first(split: Split, count: int) -> Split:
    return replace(split, inputs=split.inputs[:count], targets=split.targets[:count])
