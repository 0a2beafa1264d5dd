"""From a study to the evaluator of its points, and the choices on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from losscape_mpi.evaluation.choice.bench import Bench, Busy, Note, stay_silent
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.precision import choose_precision
from losscape_mpi.evaluation.choice.support import check_points, why_not_together
from losscape_mpi.evaluation.choice.tuning import tune
from losscape_mpi.evaluation.estimators.anchored import AnchoredEvaluator
from losscape_mpi.evaluation.estimators.corrected import CorrectedEvaluator
from losscape_mpi.evaluation.estimators.mean import Evaluates, Evaluator
from losscape_mpi.geometry.direction import Directions
from losscape_mpi.measure.sample import SampleMeasure
from losscape_mpi.problem.build import Problem
from losscape_mpi.study.config import Study
from losscape_mpi.study.evaluation_config import EvaluationConfig
from losscape_mpi.study.grid import Grid


def decide(
    study: Study,
    problem: Problem,
    directions: Directions,
    measures: Sequence[SampleMeasure],
    choices: Choices,
    device: torch.device,
    threads: int,
    note: Note,
    busy: Busy = stay_silent,
) -> tuple[Choices, dict[str, Any]]:
    """Return the final choices of a study, and the record of the precision's proof.

    Args:
        study: The resolved study.
        problem: Its problem.
        directions: Tensors by axis and name.
        measures: What is averaged over the samples.
        choices: What tuning starts from (`memory.choose`).
        device: Where to measure.
        threads: CPU threads.
        note: Called with lines for the log.
        busy: Called as a sign of life.

    Raises:
        UserError: If the wished precision is refused, or the wished number of points of a pass.
    """
    wish = study.evaluation
    bench = Bench(problem, directions, measures, device, threads, note, busy)
    choices = replace(choices, precision="float64" if wish.precision == "float64" else "float32")
    if wish.points_per_pass != "auto":
        choices = replace(choices, points_per_pass=wish.points_per_pass)
    choices = tune(
        bench,
        choices,
        # float64 is the reference: nothing is reordered there
        fused=wish.fused == "auto" and wish.precision != "float64",
        batch=wish.batch_size == "auto",
        points=wish.points_per_pass == "auto" and wish.estimator == "mean",
    )
    if wish.points_per_pass != "auto":
        check_points(bench, choices)
    return _in_precision(bench, choices, wish, Grid.from_config(study.grid))


def _in_precision(
    bench: Bench, tuned: Choices, wish: EvaluationConfig, grid: Grid
) -> tuple[Choices, dict[str, Any]]:
    """Return the choices with a precision in which points that go together have the same bits."""
    choices, record = choose_precision(bench, tuned, wish, grid)
    if choices.precision == tuned.precision:
        return choices, record
    if wish.points_per_pass != "auto":
        check_points(bench, choices)
    elif reason := why_not_together(bench, choices):
        bench.note(f"one point at a time in {choices.precision}: {reason}")
        return choose_precision(bench, replace(tuned, points_per_pass=1), wish, grid)
    return choices, record


def build_evaluator(
    study: Study,
    problem: Problem,
    directions: Directions,
    measures: Sequence[SampleMeasure],
    choices: Choices,
    device: torch.device,
    threads: int,
    *,
    is_grid: bool = True,
) -> Evaluates:
    """Return the evaluator that a study's estimator and choices ask for.

    Args:
        study: The resolved study.
        problem: Its problem.
        directions: Tensors by axis and name.
        measures: What is averaged over the samples.
        choices: How to evaluate.
        device: Where to compute.
        threads: CPU threads.
        is_grid: Whether the places are the points of the study's grid; others are no estimates.
    """
    if is_grid and study.evaluation.estimator == "anchors":
        return AnchoredEvaluator(
            problem,
            directions,
            measures,
            choices,
            Grid.from_config(study.grid),
            study.evaluation.anchors,
            device,
            threads,
        )
    if choices.correction:
        return CorrectedEvaluator(problem, directions, measures, choices, device, threads)
    return Evaluator(problem, directions, measures, choices, device, threads)
