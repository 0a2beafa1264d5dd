"""The Problem of a study: everything that turns parameters into numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.problem.callables import import_callable, source_sha256
from losscape_mpi.problem.checkpoint import checkpoint_sha256, load_checkpoint, state_sha256
from losscape_mpi.problem.copy import check_unchanged, copy_model
from losscape_mpi.problem.data.load import load_splits
from losscape_mpi.problem.data.split import DTYPES, Split
from losscape_mpi.problem.loss import Criterion, build_criterion, cross_entropy, mse
from losscape_mpi.problem.model import INIT_SEED, build_model
from losscape_mpi.problem.number import cast_model
from losscape_mpi.study.code import code_of
from losscape_mpi.study.config import ProblemConfig

TRIAL_SAMPLES = 2  # one alone hides a model that squeezes or mixes the batch axis


@dataclass(frozen=True, eq=False)
class Problem:
    """A network at its trained parameters, its data and its loss.

    Attributes:
        model: In eval mode, on the CPU; its parameters are the center.
        criterion: (outputs, targets) -> the loss of each sample.
        splits: The data by split, in the study's order.
        hashes: SHA-256 of what defines the numbers: checkpoint (file, or None), center
            (parameters and buffers), data (by split), code (by package.module:callable).
        checkpoint_key: Which part of checkpoints is meant, where they hold several.
    """

    model: nn.Module
    criterion: Criterion
    splits: dict[str, Split]
    hashes: dict[str, Any]
    checkpoint_key: str | None = None


def build_problem(
    config: ProblemConfig, precision: str = "float32", seed: int = INIT_SEED
) -> Problem:
    """Return the Problem of a study, after one trial of the model on its data.

    Without a checkpoint the center is what the model starts with: the parameters that the
    user's callable returns, or a zoo network's initial ones, which depend on no other draw.

    Args:
        config: problem of a study; paths are absolute or relative to the current folder.
        precision: Of parameters and floating inputs, as evaluation.precision names it.
        seed: Of the initial parameters of a network without a checkpoint.

    Raises:
        UserError: If data, model, checkpoint and loss cannot be read or do not fit together.
    """
    criterion = build_criterion(config.loss)
    splits = load_splits(config.data, DTYPES[precision])
    sample_shape, num_classes = _common_shape(splits, config.data.name)
    model = cast_model(build_model(config, sample_shape, num_classes, seed), DTYPES[precision])
    if config.checkpoint is not None:
        load_checkpoint(model, config.checkpoint, config.checkpoint_key, is_center=True)
    hashes = {
        "checkpoint": None if config.checkpoint is None else checkpoint_sha256(config.checkpoint),
        "center": state_sha256(model),
        "data": {name: split.sha256 for name, split in splits.items()},
        "code": _code_hashes(config),
    }
    trial = copy_model(model)  # a forward pass may change the network that it runs on
    for split in splits.values():
        _try_out(config, trial, criterion, split)
    check_unchanged(trial, model)
    return Problem(model, criterion, splits, hashes, config.checkpoint_key)


def _common_shape(splits: dict[str, Split], data: str) -> tuple[tuple[int, ...], int | None]:
    """Return the shape of a sample and the number of classes, the same in every split."""
    kinds = {
        name: f"{_dtype(split.inputs)} samples {_sample_shape(split)} with "
        + ("labels" if split.num_classes else f"targets {tuple(split.targets.shape[1:])}")
        for name, split in splits.items()
    }
    if len(set(kinds.values())) > 1:
        found = ", ".join(f"{name} has {kind}" for name, kind in kinds.items())
        raise UserError(f"the splits of data {data} differ: {found}: expected one kind of sample")
    classes = [split.num_classes for split in splits.values() if split.num_classes is not None]
    return _sample_shape(next(iter(splits.values()))), max(classes, default=None)


def _code_hashes(config: ProblemConfig) -> dict[str, str]:
    """Return the SHA-256 of the source file of each of the user's callables."""
    return {spec: source_sha256(import_callable(spec)) for spec in code_of(config)}


def _try_out(config: ProblemConfig, model: nn.Module, criterion: Criterion, split: Split) -> None:
    """Run the model and the loss once, so that what does not fit is said before the farm runs."""
    inputs, targets = split.inputs[:TRIAL_SAMPLES], split.targets[:TRIAL_SAMPLES]
    what = f"model {config.model} on samples of shape {_sample_shape(split)}"
    try:
        with torch.no_grad():
            outputs = model(inputs)
    except (RuntimeError, ValueError, IndexError) as error:  # what torch raises for a misfit
        raise UserError(
            f"{what} of data {config.data.name} fails: {first_line(error)}: "
            "expected a model for such samples"
        ) from error
    _check_outputs(outputs, what, len(inputs))
    if criterion in (cross_entropy, mse) and split.num_classes is not None:
        _check_classes(outputs, what, split.num_classes)
    with torch.no_grad():
        criterion(outputs, targets)


def _check_outputs(outputs: Any, what: str, num_samples: int) -> None:
    if not isinstance(outputs, Tensor):
        raise UserError(f"{what} gives a {type(outputs).__name__}, expected a tensor")
    if outputs.ndim == 0 or len(outputs) != num_samples or not outputs.is_floating_point():
        raise UserError(
            f"{what} gives {_dtype(outputs)} outputs of shape {tuple(outputs.shape)} for "
            f"{num_samples} samples, expected floating outputs of shape ({num_samples}, ...)"
        )


def _check_classes(outputs: Tensor, what: str, num_classes: int) -> None:
    """Refuse a network whose outputs cannot be compared with every label."""
    if outputs.ndim != 2 or outputs.shape[1] < num_classes:
        raise UserError(
            f"{what} gives outputs of shape {tuple(outputs.shape[1:])} each, expected "
            f"({num_classes},): one for each class of the data"
        )


def _sample_shape(split: Split) -> tuple[int, ...]:
    return tuple(split.inputs.shape[1:])


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
