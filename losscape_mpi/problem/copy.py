"""A model of one's own, so that the caller's stays as it is."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from losscape_mpi.errors import UserError, first_line


def copy_model(model: nn.Module) -> nn.Module:
    """Return a copy of a model with parameters of its own.

    Raises:
        UserError: If it holds tensors that are computed from parameters outside of forward.
    """
    try:
        return copy.deepcopy(model)
    except RuntimeError as error:
        raise UserError(
            f"the model {type(model).__name__} cannot be copied ({first_line(error)}): "
            "use torch.nn.utils.parametrizations instead of the old weight_norm or spectral_norm"
        ) from error


def check_unchanged(used: nn.Module, original: nn.Module) -> None:
    """Compare the parameters of a copy after forward passes with those of its original.

    Raises:
        UserError: If a pass has changed one.
    """
    named = dict(used.named_parameters())
    for name, parameter in original.named_parameters():
        if name not in named or not same_bits(named[name], parameter):
            raise UserError(changed_text("parameter", name))


def changed_text(kind: str, name: str) -> str:
    """Return what a user is told of a parameter or buffer that a forward pass changes."""
    return (
        f"a forward pass changes the {kind} {name}: expected a network that stays as it is in "
        "evaluation mode; compute a new tensor instead of changing this one in place"
    )


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors are equal byte by byte: NaN equals itself, 0.0 not -0.0."""
    plain = (t.detach().cpu().resolve_conj().resolve_neg() for t in (first, second))
    one, other = (t.reshape(-1).view(torch.uint8) for t in plain)
    return one.equal(other)
