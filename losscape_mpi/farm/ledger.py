"""The master's books: which points wait, which chunks fly, and with whom."""

from __future__ import annotations

import logging
import math
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from losscape_mpi.farm.chunk_size import ChunkSize
from losscape_mpi.farm.trials import Trials
from losscape_mpi.point.frames import Bytes
from losscape_mpi.point.records import Answers, Chunk
from losscape_mpi.point.status import FAILED

logger = logging.getLogger(__name__)

QUEUED_CHUNKS = 2  # one running and one waiting: hides the hand-over (docs/design.md)
LATE_FACTOR = 2.0  # Spark sends a second copy at 1.5 times the median
LATE_S = 1.0


@dataclass
class _Flight:
    points: np.ndarray
    sent: float
    holders: list[int] = field(default_factory=list)
    answer: Bytes | None = None  # of the first to answer
    has_failed: bool = False  # some point of that answer has no values


class Ledger:
    """Every point is answered once; a late chunk may fly twice, and its first answer counts.

    A point that failed is tried again behind all others.
    """

    def __init__(self, points: Iterable[int] = (), retries: int = 0) -> None:
        """Begin with these points waiting, flat indices in the order of their importance."""
        self._trials = Trials(retries)
        self._queue: deque[int] = deque(int(p) for p in points)
        self._size = ChunkSize()
        self._flights: dict[int, _Flight] = {}
        self._owed: dict[int, deque[int]] = defaultdict(deque)
        self._next_id = 0
        self._not_by: Mapping[int, int] = {}
        self._left_since: float | None = None  # what waits is not for the workers that ask

    def extend(self, points: np.ndarray, not_by: Mapping[int, int] | None = None) -> None:
        """Let more points wait, behind all others that nobody has tried.

        Args:
            points: Flat indices.
            not_by: Number of a worker by index that gets it only where it is the last one.
        """
        self._queue.extend(int(p) for p in points)
        self._not_by = not_by or {}

    def is_done(self) -> bool:
        """Return whether every point has its answer; second copies may still fly."""
        is_empty = not self._queue and not self._trials.waiting
        return is_empty and all(f.answer is not None for f in self._flights.values())

    def next_chunk(self, worker: int, num_workers: int, now: float) -> Chunk | None:
        """Return the next chunk for a worker, or None if it has enough.

        Args:
            worker: Number of the worker, who owes the chunk from now on.
            num_workers: Workers that share what is left.
            now: Seconds of the master's clock.
        """
        if len(self._owed[worker]) >= QUEUED_CHUNKS:
            return None
        queue = self._queue or self._trials.waiting
        if not queue:
            return self._copy_late_chunk(worker, now)
        number = min(self._size.choose(len(queue), num_workers), len(queue))
        points = self._next_points(queue, number, worker if num_workers > 1 else None, now)
        if not len(points):
            return None
        self._flights[self._next_id] = _Flight(points, now)
        self._next_id += 1
        return self._send(worker, self._next_id - 1)

    def settle(self, worker: int, answers: Answers) -> Answers | None:
        """Take the answer to the oldest chunk that a worker owes.

        Returns:
            What is final of it; None if another worker was faster.

        Raises:
            RuntimeError: If it answers anything else.
        """
        number = self._owed[worker].popleft()
        flight = self._flights[number]
        if answers.id != number or not np.array_equal(answers.points["index"], flight.points):
            raise RuntimeError(f"worker {worker} answered chunk {answers.id}, expected {number}")
        flight.holders.remove(worker)
        if not flight.holders:
            del self._flights[number]
        has_failed = bool((answers.points["status"] == FAILED).any())
        if flight.answer is not None:
            if has_failed or flight.has_failed:
                return None
            if answers.payload != flight.answer:
                logger.warning(
                    "warning: worker %d gives other bits than another one at points %s",
                    worker,
                    flight.points.tolist(),
                )
            return None
        flight.answer = answers.payload  # only a second copy is compared with it
        flight.has_failed = has_failed
        self._size.note(answers.points["seconds"][answers.points["status"] != FAILED])
        return self._trials.settle(answers)

    def blame(self, worker: int, failure: Answers, who: str) -> None:
        """Count a failed try of one point, unless another worker has answered it.

        Args:
            worker: Number of the worker that tried.
            failure: The point, with the reason as its payload.
            who: The worker, for a person.
        """
        flight = self._flights.get(failure.id)
        if flight is not None and flight.answer is None and worker in flight.holders:
            index, reason = failure.reason()
            self._trials.count(worker, index, reason, who)

    def end(self) -> list[tuple[int, Answers]]:
        """Return what failed and was not answered since, with the workers that tried."""
        return self._trials.end()

    def give_back(self, worker: int) -> None:
        """Put what a worker owes back to the front of the queue, unless another one has it."""
        for number in reversed(self._owed.pop(worker, deque())):
            flight = self._flights[number]
            flight.holders.remove(worker)
            if flight.holders:
                continue
            del self._flights[number]
            if flight.answer is None:
                untried = self._trials.take_back(flight.points.tolist())
                self._queue.extendleft(reversed(untried))

    def owes(self, worker: int) -> bool:
        """Return whether a worker has chunks to answer."""
        return bool(self._owed[worker])

    def _next_points(
        self, queue: deque[int], number: int, worker: int | None, now: float
    ) -> np.ndarray:
        """Take the first points out of a queue that a worker may compute; None may compute all.

        Those that are for others go to it too when these have not come for them in time.
        """
        if worker is None or not self._not_by:
            return np.array([queue.popleft() for _ in range(number)], dtype="i4")
        taken = [p for p in queue if self._not_by.get(p) != worker][:number]
        if not taken and self._left_since is not None:
            late_s = LATE_FACTOR * QUEUED_CHUNKS * number * (self._size.point_s or 0) + LATE_S
            taken = list(queue)[:number] if now - self._left_since > late_s else []
        elif not taken:
            self._left_since = now
        for point in taken:
            queue.remove(point)
            self._left_since = None
        return np.array(taken, dtype="i4")

    def _copy_late_chunk(self, worker: int, now: float) -> Chunk | None:
        if self._owed[worker]:
            return None
        for number, flight in self._flights.items():  # oldest first
            work_s = QUEUED_CHUNKS * len(flight.points) * (self._size.point_s or math.inf)
            is_late = now - flight.sent > LATE_FACTOR * work_s + LATE_S
            if is_late and flight.answer is None and len(flight.holders) == 1:
                return self._send(worker, number)
        return None

    def _send(self, worker: int, number: int) -> Chunk:
        self._owed[worker].append(number)
        self._flights[number].holders.append(worker)
        return Chunk(number, self._flights[number].points)
