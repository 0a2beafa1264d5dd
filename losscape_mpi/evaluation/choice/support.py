"""Trials: whether a model runs with fused layers, and at several points in one pass."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import replace

import torch
from torch import Tensor

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.evaluation.choice.bench import Bench, few_samples
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.estimators.mean import Evaluator
from losscape_mpi.evaluation.network.fusion import fuse
from losscape_mpi.evaluation.network.network import Network
from losscape_mpi.problem.copy import copy_model

FEW_SAMPLES = 4
FUSED_ERROR = 1e-3  # of the largest output; fusion changes rounding only
ADVICE = re.compile(r"file an? issue|file us|github|please", re.IGNORECASE)
TRIAL_SCALES = (0.0, 0.4)  # the center, and a point off it


def why_not_fused(bench: Bench, choices: Choices) -> str | None:
    """Return why the model's layers are not fused; "" if there is nothing to fuse; None if fine."""
    fused = fuse(copy_model(bench.problem.model))
    if isinstance(fused, str):
        return f"torch.fx cannot trace it ({fused})"
    if not (fused.folds or fused.num_merged):
        return ""
    wanted = _trial_outputs(bench, replace(choices, points_per_pass=1))
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # torch.fx prints where its code fails
            found = _trial_outputs(bench, replace(choices, fused=True))
        is_same = all(_is_near(*pair) for pair in zip(found, wanted, strict=True))
    except Exception as error:  # a trace that is not the model may fail in any way
        return f"its trace with fused layers does not run ({first_line(error)})"
    if not is_same:
        return "its trace gives other outputs (does its forward depend on the data?)"
    return None


def _trial_outputs(bench: Bench, choices: Choices) -> list[Tensor]:
    """Return the outputs for some samples of each split, float64, at one point after another."""
    network = Network(bench.problem.model, bench.directions, choices, bench.device)
    # Cast once, so that what is kept of a batch at one point is used at the next, as in a run.
    batches = [network.cast(s.inputs[:FEW_SAMPLES]) for s in bench.problem.splits.values()]
    if choices.layout == "channels_last":
        last = torch.channels_last
        batches = [b.contiguous(memory_format=last) if b.dim() == 4 else b for b in batches]
    outputs = []
    for scale in TRIAL_SCALES:
        network.move([bench.point(scale)] * network.points)
        with torch.inference_mode() if network.is_fused else torch.no_grad():
            outputs += [network.outputs(batch)[0].double() for batch in batches]
    return outputs


def _is_near(found: Tensor, wanted: Tensor) -> bool:
    bound = FUSED_ERROR * float(wanted.abs().max())
    return torch.allclose(found, wanted, rtol=0.0, atol=bound, equal_nan=True)


def check_points(bench: Bench, choices: Choices) -> None:
    """Check that a pass takes as many points as a study asks for, and gives each the same bits.

    Raises:
        UserError: If it does not.
    """
    if reason := why_not_together(bench, choices):
        raise UserError(
            f"found evaluation.points_per_pass {choices.points_per_pass}, but this model does not "
            f"take several points in one pass ({reason}); set it to 1 or auto"
        )


def why_not_together(bench: Bench, choices: Choices) -> str | None:
    """Return why several points are not evaluated in one pass; None if they can be."""
    if choices.points_per_pass == 1:
        return None
    few = few_samples(bench, choices.batch_size)
    try:
        is_same = slots_agree(few, few.evaluator(choices), choices.points_per_pass)
    except (RuntimeError, ValueError) as error:  # vmap has no rule for an operation
        return why_not_stacked(error)
    return None if is_same else "a value would depend on its place in the pass"


def why_not_stacked(error: Exception) -> str:
    """Return why vmap refuses a model, without its advice to report that to torch's authors."""
    sentences = re.split(r"(?<=[.!?])\s+", first_line(error).removeprefix("vmap: "))
    told = [s for s in sentences if not ADVICE.search(s)]
    return " ".join(told).rstrip(".") or type(error).__name__


def slots_agree(bench: Bench, evaluator: Evaluator, count: int) -> bool:
    """Return whether a point has the same bits in every place of a pass, whatever is beside it."""
    probe, others = bench.point(0.3), [bench.point(0.3 + 0.7 * k / count) for k in range(1, count)]
    seen = set()
    for place in {0, 1, count // 2, count - 1}:
        group = [*others[:place], probe, *others[place:]]
        seen.add(list(evaluator.evaluate_many(group))[place].tobytes())
    seen.add(next(evaluator.evaluate_many([probe])).tobytes())
    return len(seen) == 1
