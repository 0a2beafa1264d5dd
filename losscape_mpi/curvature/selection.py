"""Which parameters and samples the curvature is taken of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from losscape_mpi.errors import UserError
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.data.split import seeded_bits


def choose_names(named: dict[str, nn.Parameter], names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the chosen names in the model's order.

    Args:
        named: The model's floating parameters by name.
        names: None takes all of them.

    Raises:
        UserError: If a name is not among them, or none is chosen.
    """
    wanted = set(named if names is None else names)
    if foreign := sorted(wanted - set(named)):
        raise UserError(
            f"found the parameter {foreign[0]!r}, expected floating parameters of the model, "
            f"such as {next(iter(named), 'none: it has no parameter')!r}"
        )
    if not wanted:
        raise UserError("found no parameter to differentiate by, expected at least one")
    return tuple(name for name in named if name in wanted)


def choose_samples(
    problem: Problem, split: str, samples: int | None, seed: int
) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of a split, or of some of its samples, in their order.

    Args:
        problem: Its splits.
        split: Name of the split.
        samples: How many are drawn without replacement; None takes all.
        seed: Seed of the draw.

    Raises:
        UserError: If the problem has no such split, or not so many samples.
    """
    if split not in problem.splits:
        raise UserError(
            f"found no split {split!r}, expected {' or '.join(problem.splits)}: name it in "
            "problem.data.splits"
        )
    data = problem.splits[split]
    available = len(data.targets)
    if samples is None:
        return data.inputs, data.targets
    if not 1 <= samples <= available:
        raise UserError(
            f"found {samples} samples for the curvature, expected 1 to {available}, those of "
            f"the {split} split"
        )
    # Drawn, not the first ones: data may lie in the order of its classes.
    keys = seeded_bits(seed, f"curvature {split}").random_raw(available)
    chosen = torch.from_numpy(np.sort(np.argsort(keys, kind="stable")[:samples]))
    return data.inputs[chosen], data.targets[chosen]
