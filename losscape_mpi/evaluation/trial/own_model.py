"""Whether a copy of a network moves as the network itself does when it is moved in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.network.network import Network
from losscape_mpi.evaluation.network.parameters import Place
from losscape_mpi.evaluation.trial.ground import Ground, changing, outputs_of, place_text
from losscape_mpi.evaluation.trial.plain_state import held_by
from losscape_mpi.problem.copy import same_bits
from losscape_mpi.problem.number import real_dtype

# Of the largest output: both compute the same operations, kernels round differently at most.
BOUNDS = {torch.float64: 1e-9}
BOUND = 1e-4


def check_copy(ground: Ground, network: Network) -> None:
    """Compare a copy at places off the center with the model itself, moved there in place.

    Args:
        ground: What is tried; the model is put back to its very bits.
        network: A copy of its model.

    Raises:
        UserError: If their outputs differ: something in the copy still calls the original.
    """
    model = ground.problem.model
    inputs = ground.batches(network)[0][0]
    for place in ground.places:
        network.move([place])
        try:
            with _moved(model, named_tensors(network.original)):
                wanted = outputs_of(model, inputs)
            found = outputs_of(network.original, inputs)
        except Exception:
            continue
        if not _are_near(found, wanted, _bound(network)):
            if not same_bits(again := outputs_of(network.original, inputs), found):
                raise changing(again, found, place, 2, "something")
            raise UserError(_described(ground, network, found, wanted, place))


def _bound(network: Network) -> float:
    """Return how far outputs may be apart, as a share of the largest."""
    dtype = next((real_dtype(p) for p in network.original.parameters()), torch.float32)
    return BOUNDS.get(dtype, BOUND)


def outside_holders(model: nn.Module, original: nn.Module) -> list[str]:
    """Return where a copy of a network still holds on to the original: functions by name."""
    theirs = {id(module) for module in original.modules()}
    theirs |= {id(p) for p in original.parameters()} | {id(b) for b in original.buffers()}
    return [held.path for held in held_by(model) if id(held.value) in theirs]


@contextmanager
def _moved(model: nn.Module, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Fill a model's own parameters and buffers with others' values, and put theirs back."""
    own = named_tensors(model)
    kept = {name: tensor.detach().clone() for name, tensor in own.items()}
    try:
        with torch.no_grad():
            for name, tensor in own.items():
                if name in tensors:
                    tensor.copy_(tensors[name])
        yield
    finally:
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(kept[name])


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, where they are."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def _are_near(found: Tensor, wanted: Tensor, bound: float) -> bool:
    if found.shape != wanted.shape or not (found.isfinite().all() and wanted.isfinite().all()):
        return found.shape == wanted.shape  # what overflows says nothing
    return float((found - wanted).abs().max()) <= bound * float(wanted.abs().max())


def _described(
    ground: Ground, network: Network, found: Tensor, wanted: Tensor, place: Place
) -> str:
    k = int((found - wanted).abs().argmax())
    values = f"{float(found.flatten()[k]):.6g} instead of {float(wanted.flatten()[k]):.6g}"
    where = place_text(place)
    holders = outside_holders(network.original, ground.problem.model)
    who = (
        f"{holders[0]} holds on to the network that it was made with"
        if holders
        else "something in it does not follow its parameters"
    )
    return (
        f"a copy of {type(ground.problem.model).__name__} moved{where} gives {values} of the "
        f"network moved in place: {who}; expected a forward that reaches layers and parameters "
        "through self: make it a method, or a module"
    )
