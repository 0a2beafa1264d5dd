"""Keeps one evaluator process alive: what kills it costs a retry, not the run."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from losscape_mpi import wire
from losscape_mpi.farm.evaluator_process import EvaluatorError, EvaluatorProcess
from losscape_mpi.point.status import FAILED

logger = logging.getLogger(__name__)


START_TIMEOUT_S = 600.0  # torch from a cold parallel file system takes minutes
SHORTEST_TIMEOUT_S = 60.0
TIMEOUT_FACTOR = 10.0
FAILURES_TO_RETIRE = 3

Frame = tuple[bytes, bytes]


@dataclass(frozen=True)
class Patience:
    """How long a worker waits for a point, and how often it tries again.

    Attributes:
        retries: Further tries of a point whose evaluator died.
        point_timeout_s: Seconds without an answer, or None to measure them.
    """

    retries: int
    point_timeout_s: float | None


@dataclass
class _OpenChunk:
    id: int
    points: np.ndarray
    done: list[np.ndarray] = field(default_factory=list)


class Supervisor:
    """An evaluator process that is started again when it dies, hangs or answers nonsense.

    Until it has been ready once, its end is an error of the run: a problem that cannot be built
    would fail for ever. Later its end costs the running point a retry. After `retries` the point
    is answered as failed. Three failures without a finished point between them, at different
    points or before being ready again, retire the worker (its device is broken).
    """

    def __init__(
        self,
        start: Callable[[bool], EvaluatorProcess],
        patience: Patience,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the process.

        Args:
            start: Starts a process; its argument says whether it is the first one.
            patience: Retries and timeout.
            clock: Seconds, from anywhere.
        """
        self._start, self._patience, self._clock = start, patience, clock
        self._process = start(True)
        self._since = clock()
        self._block = b""
        self._later: list[Frame] = []  # what belongs to the job but came after it
        self._has_job = False  # the present child
        self._is_waiting = False  # for the choices that another process makes
        self._center: bytes | None = None
        self._is_serving = False
        self._is_retired = False
        self._chunks: deque[_OpenChunk] = deque()
        self._tries: dict[int, int] = {}
        self._streak, self._culprit = 0, -1
        self._longest_s = 0.0
        self._out: deque[Frame] = deque()

    @property
    def pid(self) -> int:
        """Process number of the present child."""
        return self._process.pid

    def send_job(self, block: bytes) -> None:
        """Send the job, and keep it for the processes to come."""
        self._block = block
        self._process.send_job(block)
        self._has_job = True
        self._since = self._clock()

    def send_later(self, kind: bytes, body: bytes) -> None:
        """Send a frame that belongs to the job, and keep it for the processes to come."""
        self._later.append((kind, body))
        self._is_waiting = False
        self._since = self._clock()
        if self._has_job and not self._is_retired:
            self._attempt(lambda: self._process.send_frame(kind, body))

    def send_chunk(self, record: np.ndarray) -> None:
        """Ask for a chunk, shape (1,); chunks are answered in the order of asking."""
        points = record["points"][0, : record["count"][0]].copy()
        if not self._chunks:
            self._since = self._clock()
        self._chunks.append(_OpenChunk(int(record["id"][0]), points))
        if self._is_serving:
            self._attempt(lambda: self._process.send_chunk(record))

    def poll(self) -> Frame | None:
        """Return the next frame for the master, or None.

        Raises:
            EvaluatorError: If the process ended before it was ready for the first time.
        """
        if not self._out and not self._is_retired:
            self._attempt(self._listen)
        return self._out.popleft() if self._out else None

    def check_alive(self) -> None:
        """Do nothing while the process lives.

        Raises:
            EvaluatorError: If it has ended without naming a user's mistake.
        """
        self._process.check_alive()

    def stop(self) -> None:
        """End the process at once."""
        self._process.stop()

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except EvaluatorError as error:
            if self._center is None:
                raise
            self._fail(str(error))

    def _listen(self) -> None:
        frame = self._process.poll()
        if frame is None:
            self._check_time()
            return
        self._since = self._clock()
        kind, body = frame
        if kind == wire.POINT:
            self._take_point(body)
        elif kind == wire.READY:
            self._begin(body)
        elif kind == wire.HELLO and self._block:
            self._process.send_job(self._block)
            for later in self._later:
                self._process.send_frame(*later)
            self._has_job = True
        elif kind == wire.WAITING:
            self._is_waiting = not self._later
        elif kind != wire.BUSY:
            self._out.append(frame)

    def _begin(self, body: bytes) -> None:
        seconds, center = float(np.frombuffer(body[:8], dtype="<f8")[0]), body[8:]
        self._longest_s = max(self._longest_s, seconds)
        self._is_serving = True
        if self._center is None:
            self._center = center
            self._out.append((wire.READY, body))
        elif center != self._center:
            raise EvaluatorError("another value at the center than before the restart")
        for chunk in self._chunks:
            # One by one: of points that are computed together, the next death names the right one.
            for point in chunk.points[len(chunk.done) :]:
                self._process.send_chunk(wire.chunk_of(chunk.id, np.array([point])))

    def _take_point(self, body: bytes) -> None:
        record = wire.point_record(len(self._center or b"") // 8)
        chunk = self._chunks[0] if self._chunks else None
        if chunk is None or len(body) != record.itemsize:
            raise EvaluatorError(f"an answer of {len(body)} bytes, expected {record.itemsize}")
        point = np.frombuffer(body, dtype=record).copy()
        index = int(point["index"][0])
        if index != chunk.points[len(chunk.done)]:
            raise EvaluatorError(f"an answer for point {index}, which was not its turn")
        point["attempts"] = self._tries.pop(index, 0) + 1
        self._longest_s = max(self._longest_s, float(point["seconds"][0]))
        self._streak, self._culprit = 0, -1
        self._finish(chunk, point)

    def _finish(self, chunk: _OpenChunk, point: np.ndarray) -> None:
        chunk.done.append(point)
        if len(chunk.done) < len(chunk.points):
            return
        self._chunks.popleft()
        answer = np.zeros(1, dtype=wire.result_record(point["values"].shape[1]))
        answer["id"], answer["count"] = chunk.id, len(chunk.points)
        answer["points"][0, : len(chunk.points)] = np.concatenate(chunk.done)
        self._out.append((wire.RESULT, answer.tobytes()))

    def _check_time(self) -> None:
        if self._is_waiting or (self._is_serving and not self._chunks):
            return
        limit = START_TIMEOUT_S
        if self._is_serving:
            measured = max(SHORTEST_TIMEOUT_S, TIMEOUT_FACTOR * self._longest_s)
            limit = self._patience.point_timeout_s or measured
        if self._clock() - self._since > limit:
            raise EvaluatorError(f"no answer for {limit:g} s")

    def _fail(self, reason: str) -> None:
        """Count a failure, give the point another try or up, and start a new process."""
        self._process.stop()
        culprit = self._blame(reason) if self._is_serving and self._chunks else None
        if culprit is None or culprit != self._culprit:
            self._streak += 1
        self._culprit = -1 if culprit is None else culprit
        if self._streak >= FAILURES_TO_RETIRE:
            self._is_retired = True
            text = f"{self._streak} failures without a finished point, the last one: {reason}"
            self._out.append((wire.RETIRED, text.encode()))
            return
        self._is_serving = self._has_job = self._is_waiting = False
        self._process = self._start(False)
        self._since = self._clock()

    def _blame(self, reason: str) -> int:
        chunk = self._chunks[0]
        index = int(chunk.points[len(chunk.done)])
        tries = self._tries[index] = self._tries.get(index, 0) + 1
        is_last = tries > self._patience.retries
        verdict = "given up" if is_last else "tried again"
        text = f"point {index}, try {tries}: {reason}; {verdict}"
        self._out.append((wire.FAILURE, text.encode()))
        if is_last:
            num_columns = len(self._center or b"") // 8
            point = np.zeros(1, dtype=wire.point_record(num_columns))
            point[0] = (index, FAILED, self._tries.pop(index), 0.0, np.full(num_columns, np.nan))
            self._finish(chunk, point)
        return index
