"""What a short measurement at the start chooses: fusion, batch size, points of one pass.

A choice can be part of a value's bits, so it is made once, before the file is created, and kept
in its manifest. A measured alternative is taken only if it is clearly faster than the default,
which depends on the study and the kind of device alone: two fresh runs choose alike.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from losscape_mpi.evaluation.choice.bench import Bench, few_samples
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.support import (
    slots_agree,
    why_not_fused,
    why_not_stacked,
)
from losscape_mpi.evaluation.estimators.mean import Evaluator

CLEAR_GAIN = 3.0  # of an alternative over the default; on a busy node timings double
REPEATS = 5
SMALL_S = 5e-3  # a point of less than this is mostly overhead: try several in one pass
SMALL_FLOP = 5e7  # a fraction of a millisecond of one CPU core
POINTS_PER_PASS = (16, 64)  # on a CPU 16 stay in the cache
BATCH_FACTORS = (0.5, 4.0)


def tune(bench: Bench, choices: Choices, *, fused: bool, batch: bool, points: bool) -> Choices:
    """Return the choices after short measurements.

    Args:
        bench: What is measured.
        choices: The defaults.
        fused: Whether layers may be fused.
        batch: Whether the batch size is free.
        points: Whether the number of points of a pass is free.
    """
    if fused and (reason := why_not_fused(bench, choices)) is None:
        choices = replace(choices, fused=True)
    elif fused and reason:
        bench.note(f"the model runs layer by layer: {reason}")
    if points or (batch and choices.points_per_pass == 1):
        few = few_samples(bench, int(choices.batch_size * max(BATCH_FACTORS)))
        default_s = point_seconds(few, choices)
        if points:
            choices = _other_points(bench, few, choices, default_s)
        if batch and choices.points_per_pass == 1:
            choices = _other_batch(bench, few, choices, default_s)
    return choices


def default_points(bench: Bench, choices: Choices) -> int:
    """Return how many points of a small network without convolutions go through in one pass."""
    model = bench.problem.model
    samples = max(len(split.targets) for split in bench.problem.splits.values())
    work = 2 * samples * sum(p.numel() for p in model.parameters())
    has_convolution = any(p.dim() > 2 for p in model.parameters())
    is_small = work <= SMALL_FLOP and samples <= choices.batch_size
    return POINTS_PER_PASS[bench.device.type == "cuda"] if is_small and not has_convolution else 1


def point_seconds(bench: Bench, choices: Choices) -> float:
    """Return the seconds that a point takes, best of some passes after a first one."""
    return time_points(bench, bench.evaluator(choices), choices.points_per_pass)


def time_points(bench: Bench, evaluator: Evaluator, count: int) -> float:
    """Return the seconds that each of `count` points takes, best of some passes."""
    points = [bench.point(0.1)] * count
    best = np.inf
    for k in range(REPEATS + 1):
        start = bench.clock()
        for _ in evaluator.evaluate_many(points):
            pass
        elapsed = (bench.clock() - start) / count
        best = min(best, elapsed) if k else best  # the first pass sets things up
        if k and elapsed * count > 1.0:
            break  # long enough not to be noise
    return float(best)


def _other_points(bench: Bench, few: Bench, choices: Choices, single_s: float) -> Choices:
    """Return the choices with the number of points that one pass evaluates."""
    default = default_points(bench, choices)
    if default == 1 and single_s * _num_samples(bench) / _num_samples(few) >= SMALL_S:
        return choices
    seconds = {1: single_s}
    for count in POINTS_PER_PASS:
        wider = replace(choices, points_per_pass=count)
        try:
            evaluator = few.evaluator(wider)
            is_same = slots_agree(few, evaluator, count)
        except (RuntimeError, ValueError) as error:  # vmap has no rule for an operation
            bench.note(f"one point at a time: {why_not_stacked(error)}")
            return choices
        if is_same:
            seconds[count] = time_points(few, evaluator, count)
        else:
            bench.note(f"not {count} points at a time: values would depend on their order")
    default = default if default in seconds else 1
    best = min(seconds, key=lambda count: seconds[count])
    chosen = best if seconds[best] * CLEAR_GAIN < seconds[default] else default
    return replace(choices, points_per_pass=chosen)


def _num_samples(bench: Bench) -> int:
    return sum(len(split.targets) for split in bench.problem.splits.values())


def _other_batch(bench: Bench, few: Bench, choices: Choices, default_s: float) -> Choices:
    best, best_s = choices, default_s / CLEAR_GAIN
    most = max(len(split.targets) for split in bench.problem.splits.values())
    for factor in BATCH_FACTORS:
        size = max(1, int(choices.batch_size * factor))
        if size == choices.batch_size or min(size, most) == min(choices.batch_size, most):
            continue
        other = replace(choices, batch_size=size)
        try:
            found = point_seconds(few, other)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            continue
        if found < best_s:
            best, best_s = other, found
    return best
