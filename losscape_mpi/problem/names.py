"""The tensors of a network and of a checkpoint by name, and how two of them are compared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from losscape_mpi.errors import UserError
from losscape_mpi.problem.checkpoint_file import State

COUNTERS = ("num_batches_tracked", "n_averaged")  # bookkeeping that never enters a frozen forward


@dataclass(frozen=True, eq=False)
class Wanted:
    """What a network takes.

    Attributes:
        tensors: By clean name; only their shapes and kinds count.
        ties: Names that mean one tensor; one of them is enough.
        unsaved: Buffers by clean name that a checkpoint need not hold, with the values they have.
        is_whole: Whether it takes no other tensors; a path's rows take parameters alone.
    """

    tensors: Mapping[str, Tensor]
    ties: Sequence[Collection[str]] = ()
    unsaved: Mapping[str, Tensor] = field(default_factory=dict)
    is_whole: bool = True


def clean_state(state: State) -> State:
    """Return tensors by names without what torch.compile and DataParallel put into them."""
    kept = dict(state)
    if all(name.startswith("module.") for name in kept if name != "n_averaged"):
        kept.pop("n_averaged", None)  # of torch's AveragedModel, beside its module
    return dict(zip(clean_names(kept), kept.values(), strict=True))


def clean_names(names: Iterable[str]) -> list[str]:
    """Return names without what torch.compile and DataParallel put into them."""
    given = list(names)
    clean = [name.replace("_orig_mod.", "") for name in given]
    while clean and all(name.startswith("module.") for name in clean):
        clean = [name.removeprefix("module.") for name in clean]
    return clean if len(set(clean)) == len(clean) else given


def wanted_of(model: nn.Module) -> Wanted:
    """Return what a network takes from a checkpoint."""
    own = model.state_dict()
    names = dict(zip(clean_names(own), own, strict=True))
    tensors = {name: own[key] for name, key in names.items() if isinstance(own[key], Tensor)}
    groups: dict[tuple[int, tuple[int, ...], tuple[int, ...]], list[str]] = {}
    for name, tensor in tensors.items():
        if tensor.numel():
            place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride())
            groups.setdefault(place, []).append(name)
    ties = [group for group in groups.values() if len(group) > 1]
    unsaved = {name: buffer for name, buffer in model.named_buffers() if name not in own}
    return Wanted(tensors, ties, unsaved)


def below(state: State, prefix: str) -> State:
    """Return the tensors whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}


def same_kind(left: Tensor, right: Tensor) -> bool:
    """Return whether two tensors agree in shape and in being floating or complex."""
    kinds = [(t.shape, t.is_floating_point(), t.is_complex()) for t in (left, right)]
    return kinds[0] == kinds[1]


def is_counter(name: str) -> bool:
    """Return whether an entry counts batches or models, which evaluation never reads."""
    return name.rpartition(".")[2] in COUNTERS


def same_values(left: State, right: State) -> bool:
    """Return whether two states hold the same numbers under the same names."""
    return left.keys() == right.keys() and all(equal(left[name], right[name]) for name in left)


def equal(left: Tensor, right: Tensor) -> bool:
    """Return whether two tensors hold the same numbers; NaN is one of them."""
    if left is right:
        return True
    if left.shape != right.shape or left.is_meta or right.is_meta:
        return False
    left, right = (t if t.layout == torch.strided else t.to_dense() for t in (left, right))
    alike = left == right
    if left.is_floating_point() or left.is_complex():
        alike |= torch.isnan(left) & torch.isnan(right)
    return bool(alike.all())


def as_dense(tensor: Tensor, name: str, path: Path) -> Tensor:
    """Return a tensor with a number in each place: a sparse one filled up with zeros.

    Raises:
        UserError: If it has no values, or other ones than numbers.
    """
    if tensor.is_meta or tensor.is_quantized or tensor.is_nested:
        found = "without values (meta)" if tensor.is_meta else "quantized or nested"
        raise UserError(
            f"{path}: the tensor {name} is {found}, expected numbers: save the state_dict() of a "
            "network that is loaded, in floating numbers"
        )
    if tensor.layout != torch.strided:
        return tensor.to_dense()
    return tensor.resolve_conj().resolve_neg()
