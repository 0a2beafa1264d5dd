"""The master's loop: every point is handed out, coarse to fine, to whoever is free."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from losscape_mpi import wire
from losscape_mpi.farm.desk import Desk
from losscape_mpi.farm.ledger import Ledger
from losscape_mpi.farm.links import Link
from losscape_mpi.farm.messages import (
    BEAT,
    BEAT_S,
    LINK_WAIT_S,
    MASTER_WAIT_S,
    SILENCE_S,
    Backoff,
)
from losscape_mpi.farm.opening import expect

logger = logging.getLogger(__name__)

STOP_DEADLINE_S = 20.0
WATCH_S = 1.0  # between two looks for silent workers and late chunks

Ready = Callable[[int, np.ndarray, float], None]
Take = Callable[[np.ndarray, np.ndarray], None]
Then = Callable[[], tuple[tuple[bytes, bytes], np.ndarray] | None]


@dataclass
class _Shift:
    """One call of `Master.run`: its books, and whom to tell."""

    ledger: Ledger
    num_columns: int
    ready: Ready
    take: Take
    then: Then | None = None
    workers: int = 0  # that may work
    answers: list[tuple[int, np.ndarray]] = field(default_factory=list)  # not yet taken


class Master:
    """Schedules points over workers; knows neither what a value means nor where it is stored."""

    def __init__(
        self,
        links: Sequence[Link],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self.desks = [Desk(link, clock()) for link in links]
        self._next_watch = self._next_beat = clock()
        self._shift: _Shift | None = None
        self.on_gone: Callable[[int, str], None] = lambda _number, _why: None

    def run(
        self,
        points: np.ndarray,
        num_columns: int,
        ready: Ready,
        take: Take,
        stopping: Callable[[], bool],
        then: Then | None = None,
    ) -> bool:
        """Have every point evaluated.

        Args:
            points: Flat grid indices in the order of their importance.
            num_columns: Values of a point.
            ready: Called with a worker's number, its values at the center and the seconds that
                these took, before any of its points; first with worker 0, which proves that the
                model is deterministic.
            take: Called with finished points (`wire.point_record`), shape (k,), and the number of
                the worker of each, shape (k,): all that came since the last call.
            stopping: Polled; True ends the run early.
            then: Called once when all points are done; may return a frame for all workers and
                the points that it makes possible.

        Returns:
            Whether all points are done; False if the run was stopped or all workers are gone.
        """
        shift = self._shift = _Shift(Ledger(points), num_columns, ready, take, then)
        backoff = Backoff(MASTER_WAIT_S, LINK_WAIT_S * len(self.desks), self._sleep)
        for desk in self.desks:
            desk.link.expect_results(num_columns)
            desk.heard = self._clock()
        while not shift.ledger.is_done() or self._go_on(shift):
            if stopping() or all(d.gone for d in self.desks):
                return False
            busy = [self._serve(number, shift) for number in range(len(self.desks))]
            self._deliver(shift)
            self._watch(shift)
            backoff.rest(any(busy))
        return True

    def _go_on(self, shift: _Shift) -> bool:
        """Begin the second half of the points, if there is one; returns whether there is."""
        if shift.then is None:
            return False
        more, shift.then = shift.then(), None
        if more is None:
            return False
        frame, points = more
        for desk in self.desks:
            if not desk.gone and not desk.link.is_lost:
                desk.attempt(partial(desk.link.send_later, *frame))
        shift.ledger.extend(points)
        for number in range(len(self.desks)):
            self._feed(number, shift)
        return True

    def stop(self) -> None:
        """End every worker; results that are on their way are still taken.

        A worker that does not end in time is taken for dead: the file is complete without it.
        """
        deadline, backoff = self._clock() + STOP_DEADLINE_S, Backoff(MASTER_WAIT_S)
        present = [d for d in self.desks if not d.link.is_lost]
        for desk in present:
            desk.attempt(desk.link.stop)
        while running := [d for d in present if not (d.link.stopped or d.link.is_lost)]:
            is_late = self._clock() > deadline
            for desk in running:
                frame = desk.attempt(desk.link.poll)
                if frame is not None and frame[0] == wire.RESULT:
                    self._take_last(desk, frame[1])
                elif frame is None and is_late and not desk.link.is_lost:
                    desk.lose(f"did not stop in {STOP_DEADLINE_S:g} s")
            backoff.rest(busy=False)
        if self._shift is not None:
            self._deliver(self._shift)
        for desk in present:
            if not desk.link.is_lost:  # what was sent to a dead rank never ends
                desk.attempt(desk.link.close)

    def _take_last(self, desk: Desk, body: bytes) -> None:
        if self._shift is not None and not desk.gone:
            self._enter(self.desks.index(desk), body, self._shift)

    def _enter(self, number: int, body: bytes, shift: _Shift) -> None:
        done = shift.ledger.settle(number, body, shift.num_columns)
        if done is not None:
            shift.answers.append((number, done))

    def _deliver(self, shift: _Shift) -> None:
        """Hand all new answers on at once: storing many costs no more than storing one."""
        if not shift.answers:
            return
        answers, shift.answers = shift.answers, []
        workers = [np.full(len(done), number) for number, done in answers]
        shift.take(np.concatenate(workers), np.concatenate([done for _, done in answers]))

    def _serve(self, number: int, shift: _Shift) -> bool:
        desk = self.desks[number]
        frame = None if desk.link.is_lost else desk.attempt(desk.link.poll)
        if desk.link.is_lost:
            self._dismiss(number, shift, "lost")
        if frame is None:
            return False
        desk.heard = self._clock()
        if not desk.gone and frame[0] != BEAT:
            self._handle(number, frame, shift)
        return True

    def _handle(self, number: int, frame: tuple[bytes, bytes], shift: _Shift) -> None:
        desk = self.desks[number]
        if frame[0] in (wire.FAILURE, wire.RETIRED):
            text = frame[1].decode(errors="replace")
            logger.warning("warning: %s: %s", desk.describe(), text)
            if frame[0] == wire.RETIRED:
                self._dismiss(number, shift, "retired")
        elif desk.is_ready:
            self._enter(number, expect(frame, wire.RESULT), shift)
            self._feed(number, shift)
        else:
            ready = np.frombuffer(expect(frame, wire.READY), "<f8")
            desk.center_s, desk.center = float(ready[0]), ready[1 : shift.num_columns + 1]
            self._admit(shift)

    def _admit(self, shift: _Shift) -> None:
        """Let those workers begin that may; nobody before worker 0 has proved the model."""
        if self.desks[0].center is None and not self.desks[0].gone:
            return
        for number, desk in enumerate(self.desks):
            if desk.center is not None and not desk.is_ready:
                shift.ready(number, desk.center, desk.center_s)
                desk.is_ready = True
                shift.workers += desk.may_work()
                self._feed(number, shift)

    def _feed(self, number: int, shift: _Shift) -> None:
        desk = self.desks[number]
        while desk.may_work():
            record = shift.ledger.next_chunk(number, shift.workers, self._clock())
            if record is None:
                return
            desk.link.send_chunk(record)

    def _dismiss(self, number: int, shift: _Shift, why: str) -> None:
        """Give a worker no more points; those that it owes go to others."""
        desk = self.desks[number]
        if desk.gone:
            return
        shift.workers -= desk.may_work()
        desk.gone = why
        shift.ledger.give_back(number)
        logger.warning("warning: %s is %s, its points go to others", desk.describe(), why)
        self.on_gone(number, why)
        self._admit(shift)
        for other in range(len(self.desks)):
            self._feed(other, shift)

    def _watch(self, shift: _Shift) -> None:
        """Once in a while: heartbeats, silent workers, second copies of late chunks."""
        now = self._clock()
        if now < self._next_watch:
            return
        self._next_watch = now + WATCH_S
        if now >= self._next_beat:
            self._next_beat = now + BEAT_S
            for desk in self.desks:
                if not desk.link.is_lost:
                    desk.attempt(desk.link.beat)
        for number, desk in enumerate(self.desks):
            if desk.link.is_remote and not desk.gone and now - desk.heard > SILENCE_S:
                desk.link.is_lost = True
                self._dismiss(number, shift, f"silent for {SILENCE_S:g} s")
            self._feed(number, shift)
