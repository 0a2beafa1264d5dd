"""The stages of a run, and the books of the one that is under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from losscape_mpi.farm.ledger import Ledger
from losscape_mpi.point.frames import Bytes
from losscape_mpi.point.records import Answers

DELIVERY_SHARE = 9.0  # of the time of a delivery, until the next one
LONGEST_HOLD_S = 1.0  # what a kill costs at most, beside what is on its way

Delivery = list[tuple[int, Answers]]
"""The answers that came since the last delivery, each with the number of its worker."""
Ready = Callable[[int, np.ndarray, float], None]
"""Called with the number of a worker, its reference row and the seconds of a point."""


@dataclass(frozen=True, eq=False)
class Stage:
    """A part of a run: what all workers must know for it, and the indices that are asked for.

    Attributes:
        indices: In the order of their importance, shape (k,).
        take: Called with what has been answered.
        block: A frame for all workers before the first index, or None.
        not_by: Number of a worker by index that shall not compute it while there is another.
    """

    indices: np.ndarray
    take: Callable[[Delivery], None]
    block: tuple[bytes, Bytes] | None = None
    not_by: Mapping[int, int] = field(default_factory=dict)


@dataclass
class Round:
    """One call of `Master.run`: what is left to do, and whom to tell.

    Attributes:
        stages: Those to come.
        ready: Called with each worker that is ready.
        ledger: Which index is owed by whom.
        stage: The one under way.
        workers: How many may work.
        answers: What no stage has taken yet.
        due: When they are taken, on the master's clock.
    """

    stages: Iterator[Stage]
    ready: Ready
    ledger: Ledger
    stage: Stage | None = None
    workers: int = 0
    answers: Delivery = field(default_factory=list)
    due: float = 0.0

    def enter(self, number: int, body: Bytes) -> None:
        """Note what a worker has answered; what is known already is dropped."""
        done = self.ledger.settle(number, Answers.unpack(body))
        if done is not None and len(done.points):
            self.answers.append((number, done))

    def end(self) -> None:
        """Hand on what is left, with what failed and is not tried again."""
        self.answers += self.ledger.end()
        self.deliver()

    def deliver_if_due(self, clock: Callable[[], float]) -> None:
        """Hand new answers on, so rarely that it takes a tenth of the time: cheap points are many.

        A write of scattered points takes 10 ms in a large file, whether it is one or a thousand.
        """
        began = clock()
        if self.answers and began >= self.due:
            self.deliver()
            now = clock()
            self.due = now + min(DELIVERY_SHARE * (now - began), LONGEST_HOLD_S)

    def deliver(self) -> None:
        """Hand all new answers on at once: storing many costs no more than storing one."""
        if self.answers and self.stage is not None:
            answers, self.answers = self.answers, []
            self.stage.take(answers)
