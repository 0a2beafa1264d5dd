"""The network that a study names, before its checkpoint is loaded."""

from __future__ import annotations

import importlib
import inspect
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.problem.callables import import_callable
from losscape_mpi.problem.zoo import registry
from losscape_mpi.study.code import TIMM_PREFIX, is_callable_spec
from losscape_mpi.study.config import ProblemConfig

INIT_SEED = 0
TIMM_RESERVED = ("pretrained", "num_classes", "checkpoint_path")  # the study decides these


def build_model(
    config: ProblemConfig,
    input_shape: tuple[int, ...],
    num_classes: int | None,
    seed: int = INIT_SEED,
) -> nn.Module:
    """Return the study's network on the CPU in eval mode, without its checkpoint.

    Initial parameters come from a fixed seed, so that a network without a checkpoint is the
    same in every process; the caller's random state is left as it was.

    Args:
        config: The study's problem.
        input_shape: Shape of one sample.
        num_classes: Number of logits; None where the targets are floating.
        seed: Of the initial parameters.

    Raises:
        UserError: If there is no such network, its arguments are wrong, or it does not fit the
            samples.
    """
    # No CUDA generator: every parameter is drawn on the CPU, and no GPU context is made.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = _construct(config, input_shape, num_classes)
    return model.cpu().eval()


def _construct(
    config: ProblemConfig, input_shape: tuple[int, ...], num_classes: int | None
) -> nn.Module:
    if is_callable_spec(config.model):
        return _call(config.model, config.model_args)
    if num_classes is None:
        raise UserError(
            f"{config.model}: found floating targets, expected class labels: "
            "name a network of your own as package.module:callable"
        )
    if config.model.startswith(TIMM_PREFIX):
        name = config.model.removeprefix(TIMM_PREFIX)
        return _build_timm(name, num_classes, config.model_args)
    return registry.build(config.model, input_shape, num_classes, **config.model_args)


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
            "these: parameters come from problem.checkpoint, the number of classes from the data"
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
