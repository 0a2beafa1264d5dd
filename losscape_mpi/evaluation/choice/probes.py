"""Per-sample values at a few points of the plane, and how far two ways to get them are apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from losscape_mpi.evaluation.choice.bench import Bench
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.estimators.mean import Evaluates
from losscape_mpi.evaluation.forward.passes import Passes
from losscape_mpi.measure.sample import SampleMeasure
from losscape_mpi.study.grid import Grid

NUM_PROBES = 16

Probes = Sequence[tuple[float, ...]]
Values = Mapping[str, Mapping[str, np.ndarray]]  # by split and name, (m,) each


@dataclass(frozen=True, eq=False)
class Trial:
    """What a way to evaluate gave at the probes.

    Attributes:
        error: Largest error of a loss, relative, or of an accuracy, absolute; infinite where it
            is not finite and float32 is, or where it does not run.
        at: The probe where that was.
        seconds: For all probes.
        failure: Why it does not run, or "".
    """

    error: float
    at: tuple[float, ...]
    seconds: float
    failure: str = ""


def probe_points(grid: Grid, num_axes: int) -> list[tuple[float, ...]]:
    """Return the center and 15 points that cover the grid's range evenly.

    A Kronecker sequence of the golden ratio on one axis, of the plastic number on two (Roberts
    2018), so that any number of them spreads.
    """
    ratio = (1 + math.sqrt(5)) / 2 if num_axes == 1 else 1.32471795724474602596
    low = np.array([grid.alpha[0], grid.beta[0]])[:num_axes]
    high = np.array([grid.alpha[-1], grid.beta[-1]])[:num_axes]
    steps = np.array([1 / ratio, 1 / ratio**2])[:num_axes]
    spread = [low + (high - low) * ((0.5 + k * steps) % 1) for k in range(1, NUM_PROBES)]
    return [(0.0,) * num_axes, *(tuple(float(x) for x in point) for point in spread)]


def sample(
    bench: Bench, choices: Choices, measures: Sequence[SampleMeasure], probes: Probes
) -> tuple[list[Values], float]:
    """Return the values of all samples at the probes, and the seconds that all of them took.

    Args:
        bench: What is evaluated.
        choices: How.
        measures: What of each sample; `nonfinite` comes with them.
        probes: Where.
    """
    passes = Passes(bench.problem, bench.directions, measures, choices, bench.device, bench.threads)
    next(passes.values(probes[:1]))  # sets things up
    rows: list[Values] = []
    start = bench.clock()
    for count, values in passes.values(probes):
        arrays = {split: each.cpu().numpy().copy() for split, each in values.items()}
        rows += [
            {
                split: dict(zip(passes.names, each[:, k], strict=True))
                for split, each in arrays.items()
            }
            for k in range(count)
        ]
        bench.busy()
    seconds = bench.clock() - start
    bench.note(f"probing {choices.precision}: {each_takes(seconds, probes)}")
    return rows, seconds


def time_evaluator(bench: Bench, evaluator: Evaluates, probes: Probes, name: str) -> float:
    """Return the seconds that an evaluator needs for all probes, after a first one."""
    evaluator.evaluate(*probes[0])  # sets things up
    start = bench.clock()
    for _ in evaluator.evaluate_many(probes):
        bench.busy()
    seconds = bench.clock() - start
    bench.note(f"probing {name}: {each_takes(seconds, probes)}")
    return seconds


def each_takes(seconds: float, probes: Probes) -> str:
    """Return words for the log, such as "16 points, 0.12 s each"."""
    return f"{len(probes)} points, {seconds / len(probes):.3g} s each"


def sample_means(rows: Iterable[Values], quantities: Sequence[str]) -> np.ndarray:
    """Return the mean over samples of the quantities of each split, shape (probes, columns)."""
    return np.array(
        [[values[name].mean() for values in row.values() for name in quantities] for row in rows]
    )


def compare(
    got: np.ndarray, wanted: np.ndarray, measures: Sequence[SampleMeasure], probes: Probes
) -> Trial:
    """Return the largest error and where it is, without seconds.

    Args:
        got: As `sample_means` returns them.
        wanted: The same in float32.
        measures: What the columns are, for each split in turn.
        probes: Where.
    """
    columns = [column for measure in measures for column in measure.columns("")]
    is_absolute = [column.comparison == "absolute" for column in columns]
    is_absolute *= got.shape[1] // len(columns)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.abs(got - wanted) / np.where(is_absolute, 1.0, np.abs(wanted))
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    errors = np.where(same, 0.0, np.where(np.isfinite(errors), errors, math.inf)).max(axis=1)
    worst = int(np.argmax(errors))
    return Trial(float(errors[worst]), probes[worst], 0.0)
