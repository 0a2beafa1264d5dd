"""The Problem of a study: everything that turns parameters into numbers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.problem.callables import import_callable, source_sha256
from losscape_mpi.problem.checkpoint import checkpoint_sha256, load_checkpoint, state_sha256
from losscape_mpi.problem.copy import check_unchanged, copy_model
from losscape_mpi.problem.data.load import load_splits
from losscape_mpi.problem.data.split import DTYPES, Split
from losscape_mpi.problem.loss import Criterion, build_criterion
from losscape_mpi.problem.model import INIT_SEED, build_model, checkpoint_classes
from losscape_mpi.problem.number import cast_model, real_dtype
from losscape_mpi.problem.part import read_parts
from losscape_mpi.problem.trial import TRIAL_SAMPLES, dtype_word, sample_shape_of, try_out
from losscape_mpi.study.code import code_of
from losscape_mpi.study.config import ProblemConfig

logger = logging.getLogger(__name__)


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
    sample = next(iter(splits.values())).inputs[:TRIAL_SAMPLES]
    model = build_model(config, sample_shape, num_classes, seed, sample)
    model = cast_model(model, DTYPES[precision])
    if config.checkpoint is not None:
        model = _loaded(model, config, config.checkpoint, sample_shape, num_classes)
    hashes = {
        "checkpoint": None if config.checkpoint is None else checkpoint_sha256(config.checkpoint),
        "center": state_sha256(model),
        "data": {name: split.sha256 for name, split in splits.items()},
        "code": _code_hashes(config),
    }
    trial = copy_model(model)  # a forward pass may change the network that it runs on
    for split in splits.values():
        try_out(config, trial, model, criterion, split)
    check_unchanged(trial, model)
    return Problem(model, criterion, splits, hashes, config.checkpoint_key)


def _loaded(
    model: nn.Module,
    config: ProblemConfig,
    path: Path,
    sample_shape: tuple[int, ...],
    num_classes: int | None,
) -> nn.Module:
    """Return the model with its checkpoint, and as many outputs as that: data may lack classes."""
    key = config.checkpoint_key
    try:
        load_checkpoint(model, path, key, is_center=True)
    except UserError:
        parts = read_parts(path, key).values()
        counts = (checkpoint_classes(config, sample_shape, num_classes, part) for part in parts)
        found = next((count for count in counts if count is not None), None)
        if found is None:
            raise
        logger.info("%s: %d classes, the data has %s: all are taken", path, found, num_classes)
        dtype = next((real_dtype(p) for p in model.parameters()), torch.float32)
        model = cast_model(build_model(config, sample_shape, found), dtype)
        load_checkpoint(model, path, key, is_center=True)
    return model


def _common_shape(splits: dict[str, Split], data: str) -> tuple[tuple[int, ...], int | None]:
    """Return the shape of a sample and the number of classes, the same in every split."""
    kinds = {
        name: f"{dtype_word(split.inputs)} samples {sample_shape_of(split)} with "
        + ("labels" if split.num_classes else f"targets {tuple(split.targets.shape[1:])}")
        for name, split in splits.items()
    }
    if len(set(kinds.values())) > 1:
        found = ", ".join(f"{name} has {kind}" for name, kind in kinds.items())
        raise UserError(f"the splits of data {data} differ: {found}: expected one kind of sample")
    classes = [split.num_classes for split in splits.values() if split.num_classes is not None]
    return sample_shape_of(next(iter(splits.values()))), max(classes, default=None)


def _code_hashes(config: ProblemConfig) -> dict[str, str]:
    """Return the SHA-256 of the source file of each of the user's callables."""
    return {spec: source_sha256(import_callable(spec)) for spec in code_of(config)}
