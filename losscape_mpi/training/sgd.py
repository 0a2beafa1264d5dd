"""Plain stochastic gradient descent on the CPU, the same bits every time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from losscape_mpi.errors import UserError
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.split import Split
from losscape_mpi.training.config import MilestonesConfig, TrainConfig

MEASURE_BATCH = 512  # samples of a forward pass without gradients; bounds its memory
Report = Callable[[int], None]
"""Called with the number of finished epochs."""


def train(problem: Problem, config: TrainConfig, report: Report) -> dict[str, float]:
    """Train a problem's network in place, on its split train, and return what `measure` gives.

    Float32, one thread, deterministic algorithms, shuffles by seed: one kind of machine gives
    the same bits every time. torch's global settings and random state are restored.

    Args:
        problem: Its model is changed, and left in eval mode.
        config: The recipe.
        report: Called after each epoch, with the model in eval mode.

    Raises:
        UserError: If the loss stops being finite.
    """
    samples = problem.splits["train"]
    shuffles = torch.Generator().manual_seed(config.seed)
    optimizer = _optimizer(problem, config)
    with _reproducible(config.seed):
        for epoch in range(config.epochs):
            optimizer.param_groups[0]["lr"] = learning_rate(config, epoch)
            problem.model.train()
            for batch in _batches(len(samples.inputs), config.batch_size, shuffles):
                _step(problem, samples, batch, optimizer, epoch)
            problem.model.eval()
            report(epoch + 1)
        return measure(problem)


def learning_rate(config: TrainConfig, epoch: int) -> float:
    """Return the learning rate of an epoch, counted from 0."""
    if isinstance(config.schedule, MilestonesConfig):
        passed = sum(milestone <= epoch for milestone in config.schedule.milestones)
        return config.lr * config.schedule.factor**passed
    if config.schedule == "cosine":
        # Loshchilov and Hutter 2016 (arXiv:1608.03983), equation 5, without restarts
        return config.lr * 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))
    return config.lr


def measure(problem: Problem) -> dict[str, float]:
    """Return "train/loss", "train/accuracy", ... of each split, as means over its samples.

    Accuracy is left out where the targets are no labels or the outputs no logits.

    Args:
        problem: Its model is in eval mode.
    """
    return {
        f"{name}/{metric}": value
        for name, split in problem.splits.items()
        for metric, value in _measure_split(problem, split).items()
    }


def _measure_split(problem: Problem, split: Split) -> dict[str, float]:
    losses, hits = [], []
    for chosen in torch.arange(len(split.inputs)).split(MEASURE_BATCH):
        with torch.no_grad():
            outputs, targets = problem.model(split.inputs[chosen]), split.targets[chosen]
            losses.append(problem.criterion(outputs, targets).double())  # (batch,)
        if split.num_classes is not None and outputs.ndim == 2:
            hits.append((outputs.argmax(1) == targets).double())  # (batch,)
    values = {"loss": torch.cat(losses).mean().item()}
    return values | ({"accuracy": torch.cat(hits).mean().item()} if hits else {})


def _optimizer(problem: Problem, config: TrainConfig) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        problem.model.parameters(),
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
    )


def _batches(num_samples: int, batch_size: int, shuffles: torch.Generator) -> tuple[Tensor, ...]:
    """Return one epoch's batches of shuffled indices, nearly equal in size.

    A short last batch would count its samples more, and BatchNorm fails on a batch of one.
    """
    order = torch.randperm(num_samples, generator=shuffles)
    return order.tensor_split(math.ceil(num_samples / batch_size))


def _step(
    problem: Problem, samples: Split, batch: Tensor, optimizer: torch.optim.Optimizer, epoch: int
) -> None:
    outputs = problem.model(samples.inputs[batch])
    loss = problem.criterion(outputs, samples.targets[batch]).mean()
    if not torch.isfinite(loss):
        raise UserError(
            f"the training loss is {loss.item()} in epoch {epoch + 1}, expected a finite one: "
            "choose a smaller lr"
        )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Fix all that can change a bit of a training, and put it back afterwards."""
    threads = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)  # the order of a sum depends on the number of threads
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
    finally:
        torch.use_deterministic_algorithms(strict)
        torch.set_num_threads(threads)
