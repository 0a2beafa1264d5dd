"""What a short measurement at the start chooses: fusion, batch size, points of one pass.

A choice can be part of a value's bits, so it is made once, before the file is created, and kept
in its manifest. A measured alternative is taken only if it is clearly faster than the default,
which depends on the study and the kind of device alone: two fresh runs choose alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from losscape_mpi.evaluation.choices import Choices
from losscape_mpi.evaluation.evaluator import Evaluator
from losscape_mpi.evaluation.fusion import fuse
from losscape_mpi.evaluation.network import Network
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.copy import copy_model

CLEAR_GAIN = 3.0  # of an alternative over the default; on a busy node timings double
REPEATS = 5
SMALL_S = 5e-3  # a point of less than this is mostly overhead: try several in one pass
SMALL_FLOP = 5e7  # a fraction of a millisecond of one CPU core
POINTS_PER_PASS = (16, 64)  # on a CPU 16 stay in the cache
BATCH_FACTORS = (0.5, 4.0)
FEW_SAMPLES = 4
FUSED_ERROR = 1e-3  # of the largest output; fusion changes rounding only

Note = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Bench:
    """What every measurement needs.

    Attributes:
        problem: Model on the CPU, with its data.
        directions: Tensors by axis and name.
        metrics: Names of the metrics.
        device: Where the evaluator will run.
        threads: Its CPU threads.
        note: Called with a line for the log.
    """

    problem: Problem
    directions: Mapping[str, Mapping[str, Tensor]]
    metrics: Sequence[str]
    device: torch.device
    threads: int
    note: Note

    def evaluator(self, choices: Choices) -> Evaluator:
        """Return an evaluator with these choices."""
        return Evaluator(
            self.problem, self.directions, self.metrics, choices, self.device, self.threads
        )

    def clock(self) -> float:
        """Return seconds: of a CPU its own working time, which other programs do not change."""
        return time.perf_counter() if self.device.type == "cuda" else time.process_time()

    def point(self, scale: float) -> tuple[float, ...]:
        """Return a point off the center."""
        return tuple(scale * (0.5 + 0.25 * k) for k in range(len(self.directions)))


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
    if points:
        choices = _other_points(bench, choices)
    if batch and choices.points_per_pass == 1:
        choices = _other_batch(bench, choices)
    return choices


def default_points(bench: Bench, choices: Choices) -> int:
    """Return how many points of a small network without convolutions go through in one pass."""
    model = bench.problem.model
    samples = max(len(split.targets) for split in bench.problem.splits.values())
    work = 2 * samples * sum(p.numel() for p in model.parameters())
    has_convolution = any(p.dim() > 2 for p in model.parameters())
    is_small = work <= SMALL_FLOP and samples <= choices.batch_size
    return POINTS_PER_PASS[bench.device.type == "cuda"] if is_small and not has_convolution else 1


def why_not_fused(bench: Bench, choices: Choices) -> str | None:
    """Return why the model's layers are not fused; "" if there is nothing to fuse; None if fine."""
    fused = fuse(copy_model(bench.problem.model))
    if isinstance(fused, str):
        return f"torch.fx cannot trace it ({fused})"
    if not (fused.folds or fused.num_merged):
        return ""
    network = Network(
        bench.problem.model, bench.directions, replace(choices, fused=True), bench.device
    )
    for scale in (0.0, 0.4):
        network.move([bench.point(scale)])
        for split in bench.problem.splits.values():
            samples = split.inputs[:FEW_SAMPLES]
            with torch.inference_mode():
                want = network.original(network.to_device(samples)).double()
                got = network.outputs(network.cast(samples))[0].double()
            bound = FUSED_ERROR * float(want.abs().max())
            if not torch.allclose(got, want, rtol=0.0, atol=bound, equal_nan=True):
                return "its trace gives other outputs (does its forward depend on the data?)"
    return None


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


def _other_points(bench: Bench, choices: Choices) -> Choices:
    """Return the choices with the number of points that one pass evaluates."""
    default = default_points(bench, choices)
    single_s = point_seconds(bench, choices)
    if default == 1 and single_s >= SMALL_S:
        return choices
    seconds = {1: single_s}
    for count in POINTS_PER_PASS:
        wider = replace(choices, points_per_pass=count)
        try:
            evaluator = bench.evaluator(wider)
            is_same = slots_agree(bench, evaluator, count)
        except (RuntimeError, ValueError) as error:  # vmap has no rule for an operation
            bench.note(f"one point at a time: {(str(error) or 'vmap failed').splitlines()[0]}")
            return choices
        if is_same:
            seconds[count] = time_points(bench, evaluator, count)
        else:
            bench.note(f"not {count} points at a time: values would depend on their order")
    default = default if default in seconds else 1
    best = min(seconds, key=lambda count: seconds[count])
    chosen = best if seconds[best] * CLEAR_GAIN < seconds[default] else default
    return replace(choices, points_per_pass=chosen)


def slots_agree(bench: Bench, evaluator: Evaluator, count: int) -> bool:
    """Return whether a point has the same bits in every place of a pass, whatever is beside it."""
    probe, others = bench.point(0.3), [bench.point(0.3 + 0.7 * k / count) for k in range(1, count)]
    seen = set()
    for place in {0, 1, count // 2, count - 1}:
        group = [*others[:place], probe, *others[place:]]
        seen.add(list(evaluator.evaluate_many(group))[place].tobytes())
    seen.add(next(evaluator.evaluate_many([probe])).tobytes())
    return len(seen) == 1


def _other_batch(bench: Bench, choices: Choices) -> Choices:
    best, best_s = choices, point_seconds(bench, choices) / CLEAR_GAIN
    most = max(len(split.targets) for split in bench.problem.splits.values())
    for factor in BATCH_FACTORS:
        size = max(1, int(choices.batch_size * factor))
        if size == choices.batch_size or min(size, most) == min(choices.batch_size, most):
            continue
        other = replace(choices, batch_size=size)
        try:
            found = point_seconds(bench, other)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            continue
        if found < best_s:
            best, best_s = other, found
    return best
