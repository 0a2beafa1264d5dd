"""What a training says while it runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from losscape_mpi.training.loop import num_batches
from losscape_mpi.training.session import Session

logger = logging.getLogger(__name__)

NUM_REPORTS = 10  # lines of progress in a whole training, unless its epochs are long
LINE_S = 30.0  # silence after which any epoch is told
SHORTEST_LINE_S = 2.0  # between two lines of a training that is faster than the eye


class Reporter:
    """Writes a line for some of the epochs: one of ten, or one each half minute, and the last."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        """Say what is about to be trained, or where it goes on."""
        self._session, self._clock = session, clock
        self._name = session.config.output.stem
        self._began = self._last = clock()
        self._first_epoch = session.epoch
        config = session.config
        steps = num_batches(len(session.problem.splits["train"].inputs), config.batch_size)
        length = f"{_count(config.epochs, 'epoch')} of {_count(steps, 'step')}"
        told = f"{self._name}: {length}, {config.output}"
        place = f", goes on in epoch {session.epoch + 1}" if session.step else ""
        logger.info("%s%s", told, place)

    def __call__(self) -> None:
        """Say how far the training is, if a line is due."""
        session, now = self._session, self._clock()
        every = max(1, session.config.epochs // NUM_REPORTS)
        wait_s = SHORTEST_LINE_S if session.epoch % every == 0 else LINE_S
        if not session.is_finished and now - self._last < wait_s:
            return
        self._last = now
        done = session.epoch - self._first_epoch
        pace = f", {(now - self._began) / done:.2g} s/epoch" if done else ""
        place = f"{session.epoch}/{session.config.epochs}"
        logger.info("%s: %s, %s%s", self._name, place, short_text(session.rows[-1]), pace)


def short_text(values: Mapping[str, float]) -> str:
    """Return losses and accuracies in few characters: train 0.123 (96.5 %), test ..."""
    parts = []
    for split in ("train", "test"):
        if f"{split}/loss" in values:
            share = values.get(f"{split}/accuracy")
            accuracy = "" if share is None else f" ({share * 100:.1f} %)"
            parts.append(f"{split} {values[f'{split}/loss']:.3g}{accuracy}")
    return ", ".join(parts)


def full_text(values: Mapping[str, float]) -> str:
    """Return every measured value by name."""
    return ", ".join(f"{name} {value:.6g}" for name, value in values.items())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
