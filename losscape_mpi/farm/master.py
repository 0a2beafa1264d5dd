"""The master's loop: every point is handed out once, coarse to fine, to whoever is free."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from losscape_mpi import wire
from losscape_mpi.errors import UserError
from losscape_mpi.farm.links import Link
from losscape_mpi.farm.messages import MASTER_WAIT_S, Backoff

CHUNK_TARGET_S = 1.0  # work in one message: long against a hand-over, short to lose
QUEUED_CHUNKS = 2  # one running and one waiting: hides the hand-over (docs/design.md)
START_DEADLINE_S = 600.0  # torch from a cold parallel file system takes minutes
STOP_DEADLINE_S = 20.0


@dataclass
class Desk:
    """What the master knows of one worker.

    Attributes:
        link: The way to it.
        device: Its device record, once it has introduced itself.
        center: Its values at the center, once it has its job done up to there.
        is_ready: Whether it may have points.
        flying: Chunks it owes, oldest first, as (id, flat indices).
    """

    link: Link
    device: np.void | None = None
    center: np.ndarray | None = None
    is_ready: bool = False
    flying: deque[tuple[int, np.ndarray]] = field(default_factory=deque)


class ChunkSize:
    """Points for each chunk: by time, bounded by factoring (Flynn Hummel et al. 1992)."""

    def __init__(self) -> None:
        self._point_s: float | None = None

    def note(self, seconds: np.ndarray) -> None:
        """Take in how long some points took, shape (k,)."""
        for value in seconds:
            old = self._point_s
            self._point_s = float(value) if old is None else 0.8 * old + 0.2 * float(value)

    def choose(self, num_left: int, num_workers: int) -> int:
        """Return the size of the next chunk: 1 until the first time is known."""
        if self._point_s is None:
            return 1
        by_time = CHUNK_TARGET_S / max(self._point_s, 1e-6)
        share = math.ceil(num_left / (2 * max(num_workers, 1)))
        return max(1, min(int(by_time), share, wire.MAX_CHUNK))


@dataclass
class _Shift:
    """One call of `Master.run`: what is left to do, and whom to tell."""

    queue: deque[np.int32]
    num_columns: int
    ready: Callable[[int, np.ndarray], None]
    take: Callable[[int, np.ndarray], None]
    size: ChunkSize = field(default_factory=ChunkSize)


class Master:
    """Schedules points over workers; knows neither what a value means nor where it is stored."""

    def __init__(self, links: Sequence[Link]) -> None:
        self.desks = [Desk(link) for link in links]
        self._next_id = 0

    def introductions(self, clock: Callable[[], float] = time.monotonic) -> list[np.void]:
        """Wait until every worker has opened its device; returns their device records.

        Raises:
            UserError: If a worker reports a mistake of the user's.
            TimeoutError: If one stays silent.
        """
        deadline, backoff = clock() + START_DEADLINE_S, Backoff(MASTER_WAIT_S)
        while silent := [d for d in self.desks if d.device is None]:
            busy = False
            for desk in silent:
                if (frame := desk.link.poll()) is not None:
                    desk.device = np.frombuffer(_expect(frame, wire.HELLO), wire.DEVICE_RECORD)[0]
                    busy = True
            if clock() > deadline:
                raise TimeoutError(f"{silent[0].link.name} did not start in {START_DEADLINE_S} s")
            backoff.rest(busy)
        return [d.device for d in self.desks if d.device is not None]

    def run(
        self,
        points: np.ndarray,
        num_columns: int,
        ready: Callable[[int, np.ndarray], None],
        take: Callable[[int, np.ndarray], None],
        stopping: Callable[[], bool],
    ) -> bool:
        """Have every point evaluated.

        Args:
            points: Flat grid indices in the order of their importance.
            num_columns: Values of a point.
            ready: Called with a worker's number and its values at the center, before any of its
                points; first with worker 0, which proves that the model is deterministic.
            take: Called with a worker's number and its finished points (`wire.result_record`).
            stopping: Polled; True ends the run early.

        Returns:
            Whether all points are done.
        """
        shift = _Shift(deque(np.asarray(points, dtype="i4")), num_columns, ready, take)
        backoff = Backoff(MASTER_WAIT_S)
        for desk in self.desks:
            desk.link.expect_results(num_columns)
        while shift.queue or any(d.flying for d in self.desks):
            if stopping():
                return False
            busy = False
            for number, desk in enumerate(self.desks):
                if (frame := desk.link.poll()) is not None:
                    self._handle(number, frame, shift)
                    busy = True
            backoff.rest(busy)
        return True

    def stop(self, num_columns: int, take: Callable[[int, np.ndarray], None] | None) -> None:
        """End every worker; results that were on their way are still taken.

        Raises:
            TimeoutError: If a worker does not end.
        """
        deadline, backoff = time.monotonic() + STOP_DEADLINE_S, Backoff(MASTER_WAIT_S)
        for desk in self.desks:
            desk.link.stop()
        while running := [d for d in self.desks if not d.link.stopped]:
            for desk in running:
                frame = desk.link.poll()
                if frame is not None and frame[0] == wire.RESULT and take is not None:
                    done = self._settle(desk, frame[1], num_columns)
                    take(self.desks.index(desk), done)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{running[0].link.name} did not stop in {STOP_DEADLINE_S} s")
            backoff.rest(busy=False)
        for desk in self.desks:
            desk.link.close()

    def _handle(self, number: int, frame: tuple[bytes, bytes], shift: _Shift) -> None:
        desk = self.desks[number]
        if not desk.is_ready:
            desk.center = np.frombuffer(_expect(frame, wire.READY), "<f8")[: shift.num_columns]
            self._admit(shift)
            return
        done = self._settle(desk, _expect(frame, wire.RESULT), shift.num_columns)
        shift.size.note(done["seconds"])
        self._feed(desk, shift)  # before storing, so that the worker need not wait for the disk
        shift.take(number, done)

    def _admit(self, shift: _Shift) -> None:
        """Let those workers begin that may; nobody before worker 0 has proved the model."""
        if self.desks[0].center is None:
            return
        for number, desk in enumerate(self.desks):
            if desk.center is not None and not desk.is_ready:
                shift.ready(number, desk.center)
                desk.is_ready = True
                self._feed(desk, shift)

    def _feed(self, desk: Desk, shift: _Shift) -> None:
        queue = shift.queue
        while queue and len(desk.flying) < QUEUED_CHUNKS:
            workers = sum(d.is_ready for d in self.desks)
            number = min(shift.size.choose(len(queue), workers), len(queue))
            chunk = np.array([queue.popleft() for _ in range(number)], dtype="i4")
            desk.flying.append((self._next_id, chunk))
            desk.link.send_chunk(wire.chunk_of(self._next_id, chunk))
            self._next_id += 1

    def _settle(self, desk: Desk, body: bytes, num_columns: int) -> np.ndarray:
        answer = np.frombuffer(body, dtype=wire.result_record(num_columns))[0]
        done = answer["points"][: answer["count"]]
        wanted_id, wanted = desk.flying.popleft()
        if answer["id"] != wanted_id or not np.array_equal(done["index"], wanted):
            raise RuntimeError(
                f"{desk.link.name} answered chunk {answer['id']}, expected chunk {wanted_id}"
            )
        return done


def _expect(frame: tuple[bytes, bytes], kind: bytes) -> bytes:
    found, body = frame
    if found == wire.MISTAKE:
        raise UserError(body.decode(errors="replace"))
    if found != kind:
        raise RuntimeError(f"a worker sent frame {found!r}, expected {kind!r}")
    return body
