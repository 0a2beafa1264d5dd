"""The network that a study names, before its checkpoint is loaded."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.problem.callables import import_callable
from losscape_mpi.problem.zoo import registry
from losscape_mpi.study.code import TIMM_PREFIX, is_callable_spec
from losscape_mpi.study.config import ProblemConfig

INIT_SEED = 0
TIMM_RESERVED = ("pretrained", "checkpoint_path")  # the study decides these
CLASSES = "num_classes"  # in model_args of the zoo and of timm: in place of the data's number


def build_model(
    config: ProblemConfig,
    input_shape: tuple[int, ...],
    num_classes: int | None,
    seed: int = INIT_SEED,
    sample: Tensor | None = None,
) -> nn.Module:
    """Return the study's network on the CPU in eval mode, without its checkpoint.

    Initial parameters come from a fixed seed, so that a network without a checkpoint is the
    same in every process; the caller's random state is left as it was.

    Args:
        config: The study's problem.
        input_shape: Shape of one sample.
        num_classes: Number of logits; None where the targets are floating. `num_classes` of
            model_args goes before it.
        seed: Of the initial parameters.
        sample: Some samples, which give lazy layers their shapes.

    Raises:
        UserError: If there is no such network, its arguments are wrong, or it does not fit the
            samples.
    """
    # No CUDA generator: every parameter is drawn on the CPU, and no GPU context is made.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = _construct(config, input_shape, num_classes).cpu().eval()
        _settle(model, sample, config.model)
    return model


def checkpoint_classes(
    config: ProblemConfig,
    input_shape: tuple[int, ...],
    num_classes: int | None,
    state: Mapping[str, Tensor],
) -> int | None:
    """Return for how many classes a checkpoint of a zoo or timm network was trained.

    The parameters of the output layer are those that change with the number of classes.

    Args:
        config: The study's problem.
        input_shape: Shape of one sample.
        num_classes: That the data has.
        state: The checkpoint's tensors; wrappers may stand before their names.

    Returns:
        None where there are no more than the data has, or the checkpoint does not tell.
    """
    if num_classes is None or is_callable_spec(config.model) or CLASSES in config.model_args:
        return None
    one, other = (
        build_model(config, input_shape, count).state_dict()
        for count in (num_classes, num_classes + 1)
    )
    found = set()
    for name in (name for name in one if one[name].shape != other[name].shape):
        held = next((t for n, t in state.items() if n == name or n.endswith(f".{name}")), None)
        if held is None or held.dim() != one[name].dim():
            return None
        triples = zip(one[name].shape, other[name].shape, held.shape, strict=True)
        # A class may have more than one entry.
        found |= {size * num_classes // a for a, b, size in triples if a != b}
    return found.pop() if len(found) == 1 and min(found) > num_classes else None


def _construct(
    config: ProblemConfig, input_shape: tuple[int, ...], num_classes: int | None
) -> nn.Module:
    if is_callable_spec(config.model):
        return _call(config.model, config.model_args)
    model_args = dict(config.model_args)
    num_classes = model_args.pop(CLASSES, num_classes)
    if num_classes is None:
        raise UserError(
            f"{config.model}: found floating targets, expected class labels: "
            "name a network of your own as package.module:callable"
        )
    if type(num_classes) is not int or num_classes < 1:
        raise UserError(
            f"{config.model}: found num_classes {num_classes!r} in problem.model_args, expected a "
            "number of classes"
        )
    if config.model.startswith(TIMM_PREFIX):
        return _build_timm(config.model.removeprefix(TIMM_PREFIX), num_classes, model_args)
    return registry.build(config.model, input_shape, num_classes, **model_args)


def _settle(model: nn.Module, sample: Tensor | None, name: str) -> None:
    """Give lazy layers their shapes, and draw their parameters, by a pass of some samples.

    Raises:
        UserError: If the model is TorchScript, or has lazy layers that the pass does not reach.
    """
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise UserError(
            f"{name}: found a module of TorchScript, whose parameters cannot be moved, expected a "
            "torch.nn.Module of Python: return the network before torch.jit.script or trace"
        )
    if not _lazy_names(model):
        return
    if sample is not None:
        numbers = sample.float() if sample.is_floating_point() else sample
        try:
            with torch.no_grad():
                model(numbers)
        except Exception as error:  # the user's forward: anything may come
            raise UserError(
                f"{name}: the lazy layer {_lazy_names(model)[0]} gets no shape, its pass fails: "
                f"{first_line(error)}: expected a model for such samples"
            ) from error
    if names := _lazy_names(model):
        raise UserError(
            f"{name}: the lazy parameter {names[0]} has no shape after a pass of the samples, "
            "expected layers that the model's forward reaches: name its sizes"
        )


def _lazy_names(model: nn.Module) -> list[str]:
    named: list[tuple[str, Any]] = [*model.named_parameters(), *model.named_buffers()]
    return [name for name, tensor in named if is_lazy(tensor)]


def _call(spec: str, model_args: dict[str, Any]) -> nn.Module:
    make = import_callable(spec)
    try:
        inspect.signature(make).bind(**model_args)
    except TypeError as error:
        raise UserError(f"{spec}: {error}: correct problem.model_args") from None
    model = make(**model_args)
    if not isinstance(model, nn.Module):
        raise UserError(
            f"{spec}: found a return value of type {type(model).__name__}, expected a "
            "torch.nn.Module: return the network"
        )
    return model


def _build_timm(name: str, num_classes: int, model_args: dict[str, Any]) -> nn.Module:
    reserved = [arg for arg in TIMM_RESERVED if arg in model_args]
    if reserved:
        raise UserError(
            f"timm:{name}: found {', '.join(reserved)} in problem.model_args, expected none of "
            "these: parameters come from problem.checkpoint"
        )
    timm = _import_timm(name)
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3, cutoff=0.0)
        raise UserError(f"timm:{name}: timm has no such model, nearest: {', '.join(near)}")
    try:
        return timm.create_model(name, pretrained=False, num_classes=num_classes, **model_args)
    except TypeError as error:
        raise UserError(f"timm:{name}: {error}: correct problem.model_args") from error


def _import_timm(name: str) -> Any:
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise UserError(
            f"timm:{name}: timm is not installed: pip install timm, or choose a zoo network"
        ) from None
