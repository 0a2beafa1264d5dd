"""Which parameters a network multiplies as matrices, seen in one pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

MATRIX_PRODUCTS = frozenset(
    (
        *("matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "addmm", "addmv", "baddbmm"),
        *("linear", "bilinear", "einsum", "tensordot", "embedding", "chain_matmul", "multi_dot"),
        *(f"conv{k}d" for k in (1, 2, 3)),
        *(f"conv_transpose{k}d" for k in (1, 2, 3)),
    )
)


def factors(model: nn.Module, names: Collection[str], inputs: Tensor | None) -> set[str]:
    """Return which of the named parameters enter a matrix product or a convolution.

    Args:
        model: In eval mode.
        names: Of parameters.
        inputs: What passes the model; without it, and where it fails, none is found.
    """
    if inputs is None:
        return set()
    named = dict(model.named_parameters())
    watch = _Watch({name: named[name] for name in names})
    try:
        with torch.no_grad(), watch:
            model(inputs)
    except Exception:  # the model's own trial says what is wrong
        return set()
    return watch.found


class _Watch(TorchFunctionMode):
    """Follows tensors, and what is made of one of them alone, into matrix products."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.found: set[str] = set()
        self._names = {id(tensor): name for name, tensor in tensors.items()}
        self._held: list[Any] = []  # no other tensor may get the id of one that is followed

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = _tensors([*args, *(kwargs or {}).values()])
        names = [self._names.get(id(tensor)) for tensor in given]
        if getattr(func, "__name__", "") in MATRIX_PRODUCTS:
            self.found.update(name for name in names if name is not None)
        elif isinstance(result, Tensor) and len(given) == 1 and names[0] is not None:
            self._names[id(result)] = names[0]
            self._held.append(result)
        return result


def _tensors(values: Sequence[Any]) -> list[Tensor]:
    """Return the tensors among arguments, those in lists too."""
    flat: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            flat.append(value)
        elif isinstance(value, (list, tuple)):
            flat += _tensors(value)
    return flat
