"""Convolutions that take in what follows them: batch norm, addition, ReLU.

The model is traced with torch.fx; what cannot be traced runs as it is.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from losscape_mpi.errors import first_line
from losscape_mpi.evaluation.network.fused_layer import CALLS, FusedLayer

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_RELUS = (F.relu, F.relu_, torch.relu, torch.relu_)
_ADDS = (operator.add, operator.iadd, torch.add)


@dataclass(frozen=True)
class Fold:
    """A layer and the batch norm that it takes in, by their module names."""

    layer: str
    norm: str


@dataclass(frozen=True, eq=False)
class Fused:
    """A traced model with the layers that it fused.

    Attributes:
        model: Gives the outputs of the original one, up to rounding.
        folds: Batch norms that are gone; `folding` gives their layers weights and biases.
        num_merged: Layers that do a ReLU, or an addition and a ReLU.
    """

    model: fx.GraphModule
    folds: list[Fold]
    num_merged: int


def fuse(model: nn.Module) -> Fused | str:
    """Return a model with fused layers, or why torch.fx cannot trace it.

    Args:
        model: In evaluation mode; its modules are taken over and replaced.
    """
    if "forward" in vars(model):  # torch.fx would trace the forward of its class
        return "its forward is not that of its class"
    try:
        graph = fx.Tracer().trace(model)
    except Exception as error:  # tracing runs the user's forward: anything may come
        return first_line(error)
    traced = fx.GraphModule(model, graph)
    counts = _uses(model, graph)
    folds, num_merged = [], 0
    for node in list(graph.nodes):
        if _is_fusable(traced, node, counts):
            layer = FusedLayer(traced.get_submodule(str(node.target)))
            if norm := _following_norm(traced, node, counts):
                layer.has_norm = True
                folds.append(Fold(str(node.target), str(norm.target)))
                norm.replace_all_uses_with(node)
                graph.erase_node(norm)
            _set_module(traced, str(node.target), layer)
            _take_in(traced, node, layer)
            num_merged += layer.has_relu
    graph.lint()
    traced.delete_all_unused_submodules()
    traced.recompile()
    return Fused(traced, folds, num_merged)


def _uses(model: nn.Module, graph: fx.Graph) -> dict[str, int]:
    """Return how often a module is used; once more for one that shares a parameter."""
    counts: dict[str, int] = dict.fromkeys(_tied_modules(model), 1)
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):  # a weight may be read without its layer
            path = str(node.target)
            user = path if node.op == "call_module" else path.rpartition(".")[0]
            counts[user] = counts.get(user, 0) + 1
    return counts


def _tied_modules(model: nn.Module) -> set[str]:
    """Return the modules that share a parameter with another one: they stay as they are."""
    owners: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), set()).add(name.rpartition(".")[0])
    return {name for names in owners.values() if len(names) > 1 for name in names}


def _is_fusable(traced: fx.GraphModule, node: fx.Node, counts: dict[str, int]) -> bool:
    if node.op != "call_module" or counts[str(node.target)] > 1:
        return False
    module = traced.get_submodule(str(node.target))
    if type(module) not in CALLS or _is_changed(module) or len(node.args) != 1 or node.kwargs:
        return False
    is_odd = getattr(module, "padding_mode", "zeros") != "zeros"
    return not is_odd and not isinstance(getattr(module, "padding", 0), str)


def _following_norm(
    traced: fx.GraphModule, node: fx.Node, counts: dict[str, int]
) -> fx.Node | None:
    user = _only_user(node)
    if user is None or user.op != "call_module" or counts[str(user.target)] > 1:
        return None
    norm = traced.get_submodule(str(user.target))
    if type(norm) not in _NORMS or norm.training or _is_changed(norm):
        return None
    is_frozen = norm.running_mean is not None and norm.running_var is not None
    # Other widths: the norm's channels are another axis of the layer's outputs.
    layer: Any = traced.get_submodule(str(node.target))
    return user if is_frozen and norm.num_features == len(layer.weight) else None


def _take_in(traced: fx.GraphModule, node: fx.Node, layer: FusedLayer) -> None:
    """Let a layer do the ReLU after it, or the addition and the ReLU after that."""
    user = _only_user(node)
    if user is None:
        return
    if _is_relu(traced, user):
        layer.has_relu = True
        user.replace_all_uses_with(node)
        traced.graph.erase_node(user)
    elif _is_addition(user) and (after := _only_user(user)) and _is_relu(traced, after):
        layer.has_relu = True
        added = user.args[1] if user.args[0] is node else user.args[0]
        layer.may_overwrite = added is not node.args[0] and _is_last_use(traced, added, user)
        with traced.graph.inserting_before(user):
            joint = traced.graph.call_module(str(node.target), (node.args[0], added))
        after.replace_all_uses_with(joint)
        for old in (after, user, node):
            traced.graph.erase_node(old)


def _is_relu(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        module = traced.get_submodule(str(node.target))
        return type(module) is nn.ReLU and not _is_changed(module)
    return (node.op == "call_function" and node.target in _RELUS) or (
        node.op == "call_method" and node.target in ("relu", "relu_")
    )


def _is_addition(node: fx.Node) -> bool:
    is_add = (node.op == "call_function" and node.target in _ADDS) or (
        node.op == "call_method" and node.target in ("add", "add_")
    )
    both = len(node.args) == 2 and all(isinstance(a, fx.Node) for a in node.args)
    return is_add and both and not node.kwargs and node.args[0] is not node.args[1]


def _is_last_use(traced: fx.GraphModule, added: Any, use: fx.Node) -> bool:
    """Return whether a tensor is a fused layer's own and nobody reads it after this use."""
    if not _is_fused(traced, added):
        return False
    order = {node: number for number, node in enumerate(traced.graph.nodes)}
    # Anything but a fused layer may give a view of it, which is read later.
    earlier = [user for user in added.users if user is not use]
    return all(order[user] < order[use] and _is_fused(traced, user) for user in earlier)


def _is_fused(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op != "call_module":
        return False
    return isinstance(traced.get_submodule(str(node.target)), FusedLayer)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _is_changed(module: nn.Module) -> bool:
    """Return whether a module does more or something else than its class."""
    has_hooks = bool(module._forward_hooks or module._forward_pre_hooks)
    return has_hooks or "forward" in vars(module)


def _set_module(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)
