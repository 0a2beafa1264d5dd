"""Which networks of the zoo a checkpoint fits, told by its tensors' names and shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from losscape_mpi.errors import UserError
from losscape_mpi.problem.checkpoint_file import State
from losscape_mpi.problem.fit import best_prefix
from losscape_mpi.problem.names import below, clean_names, is_counter, same_values
from losscape_mpi.problem.part import read_parts
from losscape_mpi.problem.zoo.registry import NETWORKS, build
from losscape_mpi.study.data_sets import DATA_SETS

CLASSES = 10  # of a network that is compared by its names alone
DRAWS = ("normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_")
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Proposal:
    """A network of the zoo that has the tensors of a checkpoint.

    Attributes:
        model: Its name.
        data: A data set whose samples it takes.
        num_classes: Its outputs.
    """

    model: str
    data: str
    num_classes: int


@dataclass(frozen=True)
class Look:
    """What was seen in a checkpoint.

    Attributes:
        path: Where it lies.
        num_tensors: Of its largest part.
        num_values: In all of them.
        first: The name of the first one.
        proposals: The networks that fit, the likeliest first.
        keys: Of its parts, where several hold such a network and differ; else none.
    """

    path: Path
    num_tensors: int
    num_values: int
    first: str
    proposals: list[Proposal]
    keys: list[str]


def look_into(path: Path) -> Look:
    """Return what a checkpoint holds and fits; none of its code is run.

    Args:
        path: As `read_parts` takes it.

    Raises:
        UserError: If it cannot be read, or holds no tensors by name.
    """
    parts = read_parts(path)
    state = max(parts.values(), key=len)
    size = sum(tensor.numel() for tensor in state.values())
    by_part = {name: list(_proposals(part)) for name, part in parts.items()}
    found = list(dict.fromkeys(proposal for some in by_part.values() for proposal in some))
    found.sort(key=lambda proposal: _distance(proposal.model, path))
    keys = [name for name, proposals in by_part.items() if proposals]
    if all(same_values(parts[keys[0]], parts[name]) for name in keys[1:]):
        keys = []
    return Look(path, len(state), size, next(iter(state)), found, keys)


def _proposals(state: State) -> Iterator[Proposal]:
    for model in NETWORKS:
        for data, row in DATA_SETS.items():
            shapes = None if row.shape is None else _shapes_of(model, row.shape, CLASSES)
            if shapes is None:
                continue
            held = below(state, best_prefix(state, shapes)[0])
            others = [tensor for name, tensor in held.items() if name not in shapes]
            if not shapes.keys() <= held.keys() or any(t.numel() > 1 for t in others):
                break  # other samples change shapes alone
            num_classes = len(held[next(reversed(shapes))])
            wanted = _shapes_of(model, row.shape or (), num_classes)
            if wanted == {name: tuple(held[name].shape) for name in shapes}:
                yield Proposal(model, data, num_classes)
                break


class _NothingDrawn(TorchFunctionMode):
    """Leaves initial parameters undrawn: without values a draw only costs seconds."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__name__", "") in DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


@cache
def _shapes_of(model: str, sample: tuple[int, ...], num_classes: int) -> Shapes | None:
    """Return the tensors of a zoo network, counters aside; None where it takes no such samples."""
    try:
        with torch.device("meta"), _NothingDrawn():
            network: nn.Module = build(model, sample, num_classes)
    except UserError:
        return None
    state = network.state_dict()
    named = zip(clean_names(state), state.values(), strict=True)
    return {name: tuple(tensor.shape) for name, tensor in named if not is_counter(name)}


def _distance(model: str, path: Path) -> tuple[bool, float, int]:
    """Return what sorts networks with the same tensors: those that the file is called after."""
    is_named = model in path.stem
    return not is_named, -len(model) if is_named else math.inf, list(NETWORKS).index(model)
