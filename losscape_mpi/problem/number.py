"""Real and complex tensors of a network: a complex number counts as two real ones.

Directions, gradients and vectors are real: a complex tensor of shape (...) stands in them as pairs
(real part, imaginary part) of shape (..., 2). Norms and inner products of the pairs are those of
the complex numbers, and torch's gradient by a complex tensor is that by its pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


def is_number(tensor: Tensor) -> bool:
    """Tell whether a tensor holds real or complex numbers: what a direction can move."""
    return tensor.is_floating_point() or tensor.is_complex()


def numbers_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of real or complex numbers, by name."""
    return {name: tensor for name, tensor in tensors.items() if is_number(tensor)}


def as_real(tensor: Tensor) -> Tensor:
    """Return a view of a complex tensor as pairs, shape (..., 2); another tensor as it is."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def real_size(tensor: Tensor) -> int:
    """Return how many real numbers a tensor holds."""
    return tensor.numel() * (2 if tensor.is_complex() else 1)


def real_dtype(tensor: Tensor) -> torch.dtype:
    """Return the precision of a tensor's real numbers."""
    return torch.zeros(0, dtype=tensor.dtype).real.dtype if tensor.is_complex() else tensor.dtype


def from_real(reals: Tensor, like: Tensor) -> Tensor:
    """Return real numbers as a tensor of the shape, kind, precision and device of another one."""
    if not like.is_complex():
        return reals.reshape(like.shape).to(like)
    pairs = reals.reshape(*like.shape, 2).to(like.device, real_dtype(like))
    return torch.view_as_complex(pairs)


def as_array(tensor: Tensor) -> np.ndarray:
    """Return a tensor's real numbers as float64."""
    return as_real(tensor.detach()).to("cpu", torch.float64).numpy()


def has_complex(model: nn.Module) -> bool:
    """Tell whether a network has a complex parameter or buffer."""
    return any(t.is_complex() for t in (*model.parameters(), *model.buffers()))


def cast_model(
    model: Network, dtype: torch.dtype, device: torch.device | str | None = None
) -> Network:
    """Return the network, changed in place to a precision: complex tensors stay complex.

    torch's own `Module.to` would take their real parts.

    Args:
        model: Its integer tensors stay.
        dtype: float32 or float64.
        device: Where to; None leaves it where it is.
    """

    def cast(tensor: Tensor) -> Tensor:
        if tensor.is_complex():
            return tensor.resolve_conj().to(device, COMPLEX[dtype])
        return tensor.to(device, dtype if tensor.is_floating_point() else None)

    return model._apply(cast)
