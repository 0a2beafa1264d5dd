"""Loss and accuracy of a network on whole splits."""

from __future__ import annotations

import torch

from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.data.split import Split

MEASURE_BATCH = 512  # samples of a forward pass without gradients; bounds its memory


def measure(problem: Problem) -> dict[str, float]:
    """Return "train/loss", "train/accuracy", ... of each split, as means over its samples.

    Accuracy is left out where the targets are no labels or the outputs no logits.

    Args:
        problem: Its model is in eval mode.
    """
    return {
        f"{name}/{metric}": value
        for name, split in problem.splits.items()
        for metric, value in _measure_split(problem, split).items()
    }


def _measure_split(problem: Problem, split: Split) -> dict[str, float]:
    losses, hits = [], []
    for chosen in torch.arange(len(split.inputs), device=split.inputs.device).split(MEASURE_BATCH):
        with torch.no_grad():
            outputs, targets = problem.model(split.inputs[chosen]), split.targets[chosen]
            losses.append(problem.criterion(outputs, targets).double())  # (batch,)
        if split.num_classes is not None and outputs.ndim == 2:
            hits.append((outputs.argmax(1) == targets).double())  # (batch,)
    values = {"loss": torch.cat(losses).mean().item()}
    return values | ({"accuracy": torch.cat(hits).mean().item()} if hits else {})
