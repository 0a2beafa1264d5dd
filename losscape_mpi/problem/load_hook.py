"""Models that rename or convert the entries of a checkpoint while they load it.

Their own hooks decide what fits. What must not happen is that a parameter silently stays as it was
initialized: the checkpoint is loaded over two different fillings, and all that differs afterwards
was not loaded.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from losscape_mpi.errors import UserError
from losscape_mpi.problem.checkpoint_file import State, in_words
from losscape_mpi.problem.names import equal, is_counter

FILLINGS = (0.25, 1.0)  # of parameters before a checkpoint is loaded: neither 0 nor equal


def has_own_hooks(model: nn.Module) -> bool:
    """Return whether a model or a part of it takes a hand in loading, beyond torch's own layers."""
    return any(_has_own_hook(module) for module in model.modules())


def load_by_hooks(model: nn.Module, state: State) -> str:
    """Load tensors whose names only the model's own hooks understand.

    Args:
        model: Changed in place if all of it is loaded, else left as it was.
        state: Tensors by the checkpoint's names.

    Returns:
        What is to be told of it; empty where the model has no hooks, or they do not take the
        state.

    Raises:
        UserError: If the hooks take it and leave something as it was initialized.
    """
    if not has_own_hooks(model):
        return ""
    before = _tensors(model)
    kept = {name: tensor.clone() for name, tensor in before.items()}
    try:
        loaded = [_loaded_over(model, state, filling) for filling in FILLINGS]
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError):
        _restore(model, kept)
        return ""
    _restore(model, kept)
    stayed = [n for n in kept if not is_counter(n) and not equal(loaded[0][n], loaded[1][n])]
    if stayed:
        raise UserError(
            f"the load hooks of {type(model).__name__} leave {len(stayed)} entries as they were "
            f"initialized ({in_words(stayed)}), expected all of them in the checkpoint: correct "
            "the hooks or name a whole checkpoint"
        )
    _load(model, state)
    made = [name for name in kept if name not in state and not is_counter(name)]
    return f"the model's own load hooks renamed or made {in_words(made) or 'nothing'}"


def refuse_kept(model: nn.Module, before: State, state: State) -> None:
    """Check that what the model's hooks loaded is not what it had before.

    Args:
        model: After loading.
        before: Copies of its tensors before, by name.
        state: What the checkpoint holds under these names.

    Raises:
        UserError: If a tensor stayed although the checkpoint holds another.
    """
    after = model.state_dict()
    stayed = [
        name
        for name, tensor in state.items()
        if equal(after[name], before[name]) and not equal(after[name], tensor.to(after[name].dtype))
    ]
    if stayed:
        raise UserError(
            f"the load hooks of {type(model).__name__} leave {in_words(stayed)} as initialized, "
            "although the checkpoint holds other values: correct the hooks"
        )


def _has_own_hook(module: nn.Module) -> bool:
    kind = type(module)
    overridden = (
        getattr(kind, name).__module__
        for name in ("load_state_dict", "_load_from_state_dict", "set_extra_state")
    )
    hooks = (*module._load_state_dict_pre_hooks.values(), *module._load_state_dict_post_hooks)
    return bool(hooks) or not all(name.split(".")[0] == "torch" for name in overridden)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {n: t for n, t in model.state_dict().items() if isinstance(t, Tensor)}


def _loaded_over(model: nn.Module, state: State, filling: float) -> dict[str, Tensor]:
    for name, tensor in _tensors(model).items():
        if not is_counter(name):
            tensor.fill_(filling)
    _load(model, state)
    return {name: tensor.clone() for name, tensor in _tensors(model).items()}


def _load(model: nn.Module, state: State) -> None:
    missing, unexpected = model.load_state_dict(OrderedDict(state), strict=False)
    lacking = [name for name in missing if not is_counter(name)]
    if lacking or unexpected:
        raise RuntimeError(f"missing {lacking}, unexpected {unexpected}")


def _restore(model: nn.Module, kept: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in _tensors(model).items():
            tensor.copy_(kept[name])
