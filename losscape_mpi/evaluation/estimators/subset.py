"""A problem on a fixed subset of its samples, for estimators that need all of them rarely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from losscape_mpi.evaluation.estimators.anchors import Subset, draw_subset
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.data.split import seeded_bits


def draw_subsets(problem: Problem, counts: Mapping[str, int], seed: int) -> dict[str, Subset]:
    """Return a subset of each split, the same for every point of a surface.

    Args:
        problem: Its splits are drawn from independently.
        counts: Samples to draw by split.
        seed: Seed of the draw.

    Raises:
        UserError: If a subset is too small or larger than its split.
    """
    return {
        name: draw_subset(seeded_bits(seed, f"subset/{name}"), len(split.targets), counts[name])
        for name, split in problem.splits.items()
    }


def restrict(problem: Problem, subsets: Mapping[str, Subset]) -> Problem:
    """Return the problem with the samples of the subsets only, in their order."""
    splits = {}
    for name, split in problem.splits.items():
        chosen = torch.from_numpy(subsets[name].samples)
        splits[name] = replace(split, inputs=split.inputs[chosen], targets=split.targets[chosen])
    return replace(problem, splits=splits)
