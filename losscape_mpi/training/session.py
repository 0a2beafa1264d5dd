"""A training as it stands: all that decides how it goes on."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from losscape_mpi.errors import UserError
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.data.split import Split
from losscape_mpi.training.augment import black_of
from losscape_mpi.training.config import TrainConfig
from losscape_mpi.training.label_noise import wrong_labels
from losscape_mpi.training.optimizer import build_optimizer

Row = dict[str, float]
"""What was measured after an epoch: epoch, step, lr, train/loss, ..."""


@dataclass(eq=False)
class Session:
    """A training as it stands after some steps; it is changed by each.

    Attributes:
        config: The recipe.
        problem: On the recipe's device, with its wrong labels; its model is trained.
        hashes: Of the problem before the training.
        optimizer: Of the model's parameters.
        shuffles: Draws the order of each epoch.
        draws: Draws the augmentation.
        black: What an image is padded with, (1, channels, 1, 1); None without augmentation.
        order_state: The state of shuffles from which the order of the epoch is drawn.
        epoch: Finished epochs.
        batch: Finished steps of the epoch after them.
        step: Finished steps in all.
        rows: One for each finished epoch, and one before the first.
    """

    config: TrainConfig
    problem: Problem
    hashes: dict[str, Any]
    optimizer: torch.optim.Optimizer
    shuffles: torch.Generator
    draws: torch.Generator
    black: Tensor | None
    order_state: Tensor
    epoch: int = 0
    batch: int = 0
    step: int = 0
    rows: list[Row] = field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        """Whether no step is left."""
        return self.epoch == self.config.epochs


def begin(problem: Problem, config: TrainConfig) -> Session:
    """Return the training of a problem before its first step.

    Args:
        problem: Its model is trained in place, and on the CPU its data are used as they are.
        config: The recipe.

    Raises:
        UserError: If the device is missing, or augmentation or wrong labels do not fit the data.
    """
    splits = dict(problem.splits)
    if config.label_noise is not None:
        labels = wrong_labels(splits["train"], config.label_noise)
        splits["train"] = dataclasses.replace(splits["train"], targets=labels)
    device = _device(config)
    splits = {name: _on_device(split, device) for name, split in splits.items()}
    placed = dataclasses.replace(problem, model=problem.model.to(device), splits=splits)
    images = splits["train"].inputs
    black = None if config.augment is None else black_of(config.problem.data, images)
    shuffles = torch.Generator().manual_seed(config.seed)
    draws = torch.Generator().manual_seed(config.seed)
    optimizer = build_optimizer(placed.model, config)
    order_state = shuffles.get_state()
    return Session(config, placed, problem.hashes, optimizer, shuffles, draws, black, order_state)


@contextmanager
def reproducible(config: TrainConfig) -> Iterator[None]:
    """Fix all that can change a bit of a training on the CPU, and put it back afterwards.

    Inside, torch draws from the recipe's seed, on the CPU and on the recipe's device.
    """
    threads, tf32 = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    strict = torch.are_deterministic_algorithms_enabled()
    is_cuda = config.device == "cuda"
    torch.set_num_threads(config.threads)  # the order of a sum depends on the number of threads
    # Some operations have no deterministic form on a GPU: it warns, and promises no equal bits.
    torch.use_deterministic_algorithms(True, warn_only=is_cuda)
    torch.backends.cudnn.allow_tf32 = False  # what is measured is float32
    try:
        with torch.random.fork_rng(devices=[0] if is_cuda else []):
            torch.default_generator.manual_seed(config.seed)
            if is_cuda:
                torch.cuda.manual_seed(config.seed)
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = tf32
        torch.use_deterministic_algorithms(strict)
        torch.set_num_threads(threads)


def _device(config: TrainConfig) -> torch.device:
    if config.device == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError("found no GPU, expected one for device: cuda: set device: cpu")
    # cuBLAS is deterministic with a workspace of its own only; it reads this when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device("cuda", 0)


def _on_device(split: Split, device: torch.device) -> Split:
    return dataclasses.replace(
        split, inputs=split.inputs.to(device), targets=split.targets.to(device)
    )
