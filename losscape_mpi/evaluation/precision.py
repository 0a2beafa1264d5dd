"""Lower precision with proof: measured at some points against float32, then taken or refused."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choices import Choices
from losscape_mpi.evaluation.corrected import CorrectedEvaluator, needed_samples
from losscape_mpi.evaluation.evaluator import Evaluates, Evaluator
from losscape_mpi.evaluation.tuning import Bench
from losscape_mpi.study.columns import value_columns
from losscape_mpi.study.evaluation_config import LOW_PRECISIONS, EvaluationConfig
from losscape_mpi.study.grid import Grid

NUM_PROBES = 16
PROBE_MARGIN = 4.0  # 64 fresh points of ResNet-56 erred by 4 times what 16 probes did
WORTHWHILE = 1.1  # auto leaves float32 only for what is faster by this
FEWEST_SAMPLES = 64  # of a correction: with fewer its standard error means little
SHARE_OF_PROBES = 0.75  # that a correction should serve; the others go to float32
LARGEST_SHARE = 0.25  # of the samples in a correction


@dataclass(frozen=True, eq=False)
class Trial:
    """What a way to evaluate gave at the probes.

    Attributes:
        error: Largest error of a loss, relative, or of an accuracy, absolute; infinite where it
            is not finite and float32 is.
        at: The probe where that was.
        seconds: For all probes.
    """

    error: float
    at: tuple[float, ...]
    seconds: float


def choose_precision(
    bench: Bench, choices: Choices, config: EvaluationConfig, grid: Grid
) -> tuple[Choices, dict[str, Any]]:
    """Return the choices with a precision, and the record of how it was proved.

    Args:
        bench: What is measured.
        choices: Tuned in float32.
        config: The study's wish and tolerance.
        grid: Its range is probed.

    Raises:
        UserError: If the wished precision errs by more than the tolerance, or is none here.
    """
    if config.precision not in (*LOW_PRECISIONS, "auto"):
        return choices, {}
    probes = probe_points(grid, len(bench.directions))
    exact = bench.evaluator(choices)
    wanted, exact_s = _timed(bench, exact, probes, choices.precision)
    trials: dict[str, Trial] = {}
    for name in _candidates(bench, config.precision):
        low = replace(choices, precision=name)
        got, seconds = _timed(bench, bench.evaluator(low), probes, name)
        trials[name] = replace(_compare(bench, got, wanted, probes), seconds=seconds)
    record: dict[str, Any] = {"tolerance": config.precision_tolerance, "probes": len(probes)}
    margin = PROBE_MARGIN if config.precision == "auto" else 1.0
    good = [n for n, trial in trials.items() if trial.error * margin <= config.precision_tolerance]
    if config.precision != "auto":
        if not good:
            raise UserError(_refusal(config, trials[config.precision]))
        return _accept(choices, config.precision, trials[config.precision], record)
    record["rejected"] = {n: _as_json(trial) for n, trial in trials.items() if n not in good}
    worth = [n for n in trials if trials[n].seconds * WORTHWHILE < exact_s]
    if accepted := [n for n in worth if n in good]:
        name = min(accepted, key=lambda n: trials[n].seconds)
        return _accept(choices, name, trials[name], record)
    if worth and config.estimator == "mean":
        name = min(worth, key=lambda n: trials[n].seconds)
        found = _try_corrected(bench, choices, name, config, probes, wanted)
        if found is not None:
            corrected, trial = found
            if trial.error <= config.precision_tolerance and trial.seconds * WORTHWHILE < exact_s:
                return _accept(corrected, name, trial, record)
            record["rejected"][f"{name}, corrected"] = _as_json(trial)
    return choices, record | {"mode": choices.precision}


def _try_corrected(
    bench: Bench,
    choices: Choices,
    name: str,
    config: EvaluationConfig,
    probes: Sequence[tuple[float, ...]],
    wanted: np.ndarray,
) -> tuple[Choices, Trial] | None:
    """Return the choices of the two-level estimator and its trial; None if it needs too much."""
    corrected = _corrected(bench, choices, name, config, probes)
    if corrected is None:
        return None
    evaluator = CorrectedEvaluator(
        bench.problem, bench.directions, bench.metrics, corrected, bench.device, bench.threads
    )
    got, seconds = _timed(bench, evaluator, probes, f"{name}, corrected")
    return corrected, replace(_compare(bench, got, wanted, probes), seconds=seconds)


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


def _candidates(bench: Bench, wish: str) -> list[str]:
    is_cuda = bench.device.type == "cuda"
    if wish == "tf32" and not is_cuda:
        raise UserError(
            "found precision tf32 on a CPU, expected float32, bfloat16 or auto: TF32 is a mode of "
            "NVIDIA GPUs"
        )
    if wish != "auto":
        return [wish]
    return ["tf32", "bfloat16", "float16"] if is_cuda else ["bfloat16"]


def _timed(
    bench: Bench, evaluator: Evaluates, probes: Sequence[tuple[float, ...]], name: str
) -> tuple[np.ndarray, float]:
    evaluator.evaluate(*probes[0])  # sets things up
    start, rows = bench.clock(), []
    for row in evaluator.evaluate_many(probes):
        rows.append(row)
    seconds = bench.clock() - start
    bench.note(f"probing {name}: {len(probes)} points, {seconds / len(probes):.3g} s each")
    return np.array(rows), seconds


def _compare(
    bench: Bench, got: np.ndarray, wanted: np.ndarray, probes: Sequence[tuple[float, ...]]
) -> Trial:
    errors = np.zeros(len(probes))
    columns = value_columns(list(bench.problem.splits), bench.metrics)
    for k, column in enumerate(columns):
        if column.endswith(("_stderr", "/nonfinite")):
            continue
        scale = 1.0 if column.endswith("/accuracy") else np.abs(wanted[:, k])
        errors = np.maximum(errors, _errors(got[:, k], wanted[:, k], scale))
    worst = int(np.argmax(errors))
    return Trial(float(errors[worst]), probes[worst], 0.0)


def _errors(got: np.ndarray, wanted: np.ndarray, scale: np.ndarray | float) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.abs(got - wanted) / scale
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    return np.where(same, 0.0, np.where(np.isfinite(errors), errors, math.inf))


def _corrected(
    bench: Bench,
    choices: Choices,
    name: str,
    config: EvaluationConfig,
    probes: Sequence[tuple[float, ...]],
) -> Choices | None:
    """Return the choices of the two-level estimator, or None if it would need too many samples."""
    pairs = zip(
        _samples(bench.evaluator(choices), probes),
        _samples(bench.evaluator(replace(choices, precision=name)), probes),
        strict=True,
    )
    needs = [_needed(bench, exact, low, config.precision_tolerance) for exact, low in pairs]
    count = max(FEWEST_SAMPLES, int(np.quantile(needs, SHARE_OF_PROBES, method="higher")))
    size = min(len(split.targets) for split in bench.problem.splits.values())
    if count > LARGEST_SHARE * size:
        return None
    return replace(
        choices,
        precision=name,
        correction=count,
        tolerance=config.precision_tolerance,
        points_per_pass=1,
    )


def _samples(
    evaluator: Evaluator, probes: Sequence[tuple[float, ...]]
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the per-sample values of each split at each probe, (names, m) each."""
    for probe in probes:
        _count, values = next(evaluator.passes.values([probe]))
        yield {split: each[:, 0].cpu().numpy().copy() for split, each in values.items()}


def _needed(
    bench: Bench, exact: dict[str, np.ndarray], low: dict[str, np.ndarray], tolerance: float
) -> int:
    """Return the samples that would correct the first metric, the loss, of every split at a probe.

    Accuracies differ in so few samples that what would correct them for sure is nearly all: at a
    point where the subset holds one of these, float32 has to do.
    """
    needs = []
    for split, wanted in exact.items():
        one, other = wanted[0], low[split][0]
        with np.errstate(invalid="ignore"):  # infinite values have no deviation
            deviation = (one - other).std(ddof=1) if len(one) > 1 else math.inf
        scale = 1.0 if bench.metrics[0] == "accuracy" else float(one.mean())
        needs.append(needed_samples(float(deviation), scale, tolerance, len(one)))
    return max(needs)


def _accept(
    choices: Choices, name: str, trial: Trial, record: dict[str, Any]
) -> tuple[Choices, dict[str, Any]]:
    return replace(choices, precision=name), record | {"mode": name} | _as_json(trial)


def _as_json(trial: Trial) -> dict[str, Any]:
    error = trial.error if math.isfinite(trial.error) else "infinite"
    return {"max_relative": error, "at": list(trial.at)}


def _refusal(config: EvaluationConfig, trial: Trial) -> str:
    at = ", ".join(f"{x:.3g}" for x in trial.at)
    return (
        f"precision {config.precision} errs by {trial.error:.1%} at ({at}), expected at most "
        f"evaluation.precision_tolerance = {config.precision_tolerance:.1%}: set "
        "evaluation.precision to float32 or auto"
    )
