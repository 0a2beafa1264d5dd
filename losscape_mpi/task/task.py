"""What an evaluator process can be asked for: a task, and what it gets from its process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from losscape_mpi.point.records import Answers, Chunk


@dataclass(frozen=True, eq=False)
class Host:
    """The process that serves a task.

    Attributes:
        device: Where to compute.
        threads: CPU threads.
        proves: Whether this process proves for the whole run that values repeat, and decides what
            is decided once.
        note: Says a line for the log.
        busy: Gives a sign of life.
        agree: Gives what was decided here, or None, and returns what all have to go by.
    """

    device: torch.device
    threads: int
    proves: bool
    note: Callable[[str], None]
    busy: Callable[[], None]
    agree: Callable[[bytes | None], bytes]


class Task(Protocol):
    """Answers to indices."""

    def reference(self) -> np.ndarray:
        """Return a row that all workers must agree on bit for bit, float64 of shape (n,)."""

    def rehearse(self) -> int:
        """Do what a few points take, for the estimate of the cost; returns how many they were."""

    def answers(self, chunk: Chunk) -> Iterator[Answers]:
        """Yield the answer for each index of a chunk, in their order."""

    def take(self, kind: bytes, block: bytes) -> None:
        """Take a block that belongs to the job: values at the anchors, a vector."""
