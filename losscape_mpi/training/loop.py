"""The training loop: epochs of shuffled batches, the same bits every time."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from losscape_mpi.errors import UserError
from losscape_mpi.training.augment import augment
from losscape_mpi.training.optimizer import uphill
from losscape_mpi.training.schedule import learning_rate
from losscape_mpi.training.session import Session


class DivergedError(UserError):
    """The loss of a training stopped being finite: the same recipe would come here again."""


AfterStep = Callable[[], bool]
"""Called after each step, and before the first; True ends the training there."""


def train(session: Session, after_step: AfterStep) -> bool:
    """Train until the last epoch is finished, or until after_step says True.

    Deterministic algorithms, seeded draws and a fixed number of threads: one kind of machine
    gives the same bits every time, however often the training is stopped and taken up again. It
    runs inside `session.reproducible`.

    Args:
        session: As it begins, or as it was when it was stopped; changed by each step.
        after_step: Called with the session as it stands; it may measure, save and stop.

    Returns:
        Whether the training is finished.

    Raises:
        DivergedError: If the loss stops being finite.
    """
    if session.step == 0 and after_step():
        return False
    while not session.is_finished:
        session.optimizer.param_groups[0]["lr"] = learning_rate(session.config, session.epoch)
        batches = _epoch_batches(session)
        for batch in batches[session.batch :]:
            session.problem.model.train()
            _step(session, batch)
            session.step += 1
            session.batch += 1
            if session.batch == len(batches):
                session.epoch, session.batch = session.epoch + 1, 0
                session.order_state = session.shuffles.get_state()
            if after_step():
                return session.is_finished
    return True


def num_batches(num_samples: int, batch_size: int) -> int:
    """Return the number of steps of an epoch."""
    return math.ceil(num_samples / batch_size)


def _epoch_batches(session: Session) -> tuple[Tensor, ...]:
    """Return the epoch's batches of shuffled indices, nearly equal in size.

    A short last batch would count its samples more, and BatchNorm fails on a batch of one.
    """
    num_samples = len(session.problem.splits["train"].inputs)
    session.order_state = session.shuffles.get_state()
    order = torch.randperm(num_samples, generator=session.shuffles)
    return order.tensor_split(num_batches(num_samples, session.config.batch_size))


def _step(session: Session, batch: Tensor) -> None:
    samples, config = session.problem.splits["train"], session.config
    batch = batch.to(samples.inputs.device)
    inputs, targets = samples.inputs[batch], samples.targets[batch]
    if config.augment is not None and session.black is not None:
        inputs = augment(inputs, config.augment, session.black, session.draws)
    _differentiate(session, inputs, targets)
    if config.optimizer == "sam":
        with uphill(session.problem.model, config.rho):
            _differentiate(session, inputs, targets)
    session.optimizer.step()


def _differentiate(session: Session, inputs: Tensor, targets: Tensor) -> None:
    """Put the gradient of the mean loss of a batch at the parameters."""
    with _precision(inputs.device):
        outputs = session.problem.model(inputs)
        loss = session.problem.criterion(outputs, targets).mean()
    if not torch.isfinite(loss):
        raise DivergedError(
            f"the training loss is {loss.item()} in epoch {session.epoch + 1}, expected a finite "
            "one: choose a smaller lr"
        )
    session.optimizer.zero_grad()
    loss.backward()


def _precision(device: torch.device) -> AbstractContextManager[object]:
    """Return float32 on the CPU, bfloat16 where it is safe on a GPU."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()
