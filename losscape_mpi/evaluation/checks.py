"""What is proved before a point is computed: the same bits twice, each sample for itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.estimators.mean import Evaluates, Evaluator
from losscape_mpi.evaluation.network.parameters import Place
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.copy import same_bits

FEW_SAMPLES = 4  # enough to see that a batch mixes its samples


def check_determinism(
    compute: Callable[[Place], np.ndarray], evaluator: Evaluates, problem: Problem, place: Place
) -> np.ndarray:
    """Return the row of values at a place, computed twice.

    Args:
        compute: Gives the row at a place.
        evaluator: What gives the means among its values.
        problem: Model and data.
        place: Where.

    Raises:
        UserError: If the two passes differ, a pass changes the model's buffers, or the loss of a
            sample depends on the others.
    """
    exact = evaluator.exact
    first = compute(place)  # some buffers move to the place, others are filled once
    buffers = [b.clone() for b in exact.passes.buffers()]
    second = compute(place)
    if first.tobytes() != second.tobytes():
        k = int(np.argmax(first.view("i8") != second.view("i8")))  # NaN equals itself
        raise UserError(
            "the model or its loss gives two different values at the same parameters "
            f"({first[k]} and {second[k]}): expected none of dropout, random augmentation or "
            "batch statistics in evaluation mode; make both deterministic"
        )
    after = exact.passes.buffers()
    if any(not same_bits(a, b) for a, b in zip(buffers, after, strict=True)):
        raise UserError(
            "a forward pass changes the model's buffers: expected frozen statistics; make "
            "the model respect evaluation mode"
        )
    for split in problem.splits.values():
        _check_batch_independence(exact, problem, split.inputs, split.targets)
    return first


@torch.no_grad()
def _check_batch_independence(
    evaluator: Evaluator, problem: Problem, inputs: Tensor, targets: Tensor
) -> None:
    together, few = min(len(targets), 2 * FEW_SAMPLES), min(len(targets), 2 * FEW_SAMPLES) // 2
    if few == 0:
        return
    network = evaluator.passes.replicas[0].network
    inputs, targets = network.to_device(inputs[:together]), network.to_device(targets[:together])
    joint = problem.criterion(network.original(inputs), targets)[:few].double()
    alone = problem.criterion(network.original(inputs[:few]), targets[:few]).double()
    if not torch.allclose(joint, alone, rtol=1e-2, atol=1e-4, equal_nan=True):
        raise UserError(
            f"the loss of a sample depends on its batch: {float(alone[0]):.6g} among {few} "
            f"samples, {float(joint[0]):.6g} among {together}; expected per-sample losses: use "
            "running statistics in norm layers, and no batch-wise loss"
        )
