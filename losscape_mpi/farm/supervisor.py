"""Keeps one evaluator process alive: what kills it costs a retry, not the run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from losscape_mpi.farm.evaluator_process import EvaluatorError, EvaluatorProcess
from losscape_mpi.farm.open_chunks import OpenChunks
from losscape_mpi.point.frames import (
    BUSY,
    CHUNK,
    DECISION,
    HELLO,
    JOB,
    POINT,
    READY,
    RETIRED,
    WAITING,
    Bytes,
    Frame,
)
from losscape_mpi.point.records import Chunk, unpack_ready

START_TIMEOUT_S = 600.0  # torch from a cold parallel file system takes minutes
SHORTEST_TIMEOUT_S = 60.0
TIMEOUT_FACTOR = 10.0
FAILURES_TO_RETIRE = 3


@dataclass(frozen=True)
class Patience:
    """How long a worker waits for a point, and how often it tries again.

    Attributes:
        retries: Further tries of a point whose evaluator died.
        point_timeout_s: Seconds without an answer, or None to measure them.
    """

    retries: int
    point_timeout_s: float | None


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
        *,
        proves: bool = False,
    ) -> None:
        """Start the process.

        Args:
            start: Starts a process; its argument says whether it proves.
            patience: Retries and timeout.
            clock: Seconds, from anywhere.
            proves: Whether this worker proves for all that a job gives the same values twice, and
                decides what is decided once. A process that is started again for a job that was
                ready does neither.
        """
        self._start, self._patience, self._clock = start, patience, clock
        self._proves = self._is_proving = proves
        self._process = start(proves)
        self._since = clock()
        self._job: Bytes = b""
        self._blocks: dict[bytes, Bytes] = {}  # what belongs to the job but came after it
        self._is_up = self._has_job = False  # the present child
        self._unready = 0  # jobs of the present child that it has not prepared yet
        self._is_waiting = False  # for what another process decides
        self._is_known = self._has_been_ready = False
        self._reference: bytes | None = None  # of the present job
        self._is_serving = False
        self._is_retired = False
        self._chunks = OpenChunks(patience.retries, lambda *frame: self._out.append(frame))
        self._streak, self._culprit = 0, -1
        self._longest_s = 0.0
        self._out: deque[Frame] = deque()

    @property
    def is_sending(self) -> bool:
        """Whether a large frame moves to the process: one that computes first takes nothing."""
        return not self._is_retired and self._process.is_sending

    def send(self, kind: bytes, body: Bytes) -> None:
        """Take a frame of the master's: a job, a chunk, or a block that belongs to the job.

        Chunks are answered in the order of asking. A job ends the one before, with its chunks.
        """
        if kind == JOB:
            self._begin_job(body)
        elif kind == CHUNK:
            self._ask(Chunk.unpack(body))
        else:
            self._keep(kind, body)

    def poll(self) -> Frame | None:
        """Return the next frame for the master, or None.

        Raises:
            EvaluatorError: If the process ended before it was ready for the first time.
        """
        if not self._out and not self._is_retired:
            try:
                self._listen()
            except EvaluatorError as error:
                if not self._has_been_ready:
                    raise
                self._fail(str(error))
        return self._out.popleft() if self._out else None

    def stop(self) -> None:
        """End the process at once."""
        self._process.stop()

    def _begin_job(self, block: Bytes) -> None:
        self._job, self._blocks, self._reference = block, {}, None
        self._is_serving = self._is_waiting = False
        self._chunks.clear()
        self._longest_s = 0.0
        self._since = self._clock()
        self._out.append((JOB, b""))
        if self._proves and not self._is_proving and not self._is_retired:
            self._process.stop()
            self._start_again()
        if self._is_up and not self._is_retired:
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the job to the child, and keep it for the processes to come."""
        self._has_job = True
        self._unready += 1
        self._process.send(JOB, self._job)
        for kind, body in self._blocks.items():
            self._process.send(kind, body)

    def _keep(self, kind: bytes, body: Bytes) -> None:
        """Send a block, and keep it for the processes to come: the last one of its kind."""
        self._blocks.pop(kind, None)
        self._blocks[kind] = body
        self._is_waiting = False
        self._since = self._clock()
        if self._has_job and not self._is_retired:
            self._process.send(kind, body)

    def _ask(self, chunk: Chunk) -> None:
        if not self._chunks:
            self._since = self._clock()
        self._chunks.add(chunk)
        if self._is_serving:
            self._process.send(CHUNK, chunk.pack())

    def _listen(self) -> None:
        frame = self._process.poll()
        if frame is None:
            self._check_time()
            return
        self._since = self._clock()
        kind, body = frame
        if kind == POINT:
            self._take_point(body)
        elif kind == READY:
            self._begin(body)
        elif kind == HELLO:
            self._greet(frame)
        elif kind == WAITING:
            self._is_waiting = not self._blocks
        elif kind != BUSY and (kind != DECISION or DECISION not in self._blocks):
            self._out.append(frame)

    def _greet(self, hello: Frame) -> None:
        self._is_up = True
        if self._job:
            self._hand_over()
        elif not self._is_known:
            self._out.append(hello)
        self._is_known = True

    def _begin(self, body: bytes) -> None:
        self._unready -= 1
        if self._unready:
            return  # of a job before
        seconds, _ = unpack_ready(body)
        reference = body[8:]
        self._longest_s = max(self._longest_s, seconds)
        self._is_serving = self._has_been_ready = True
        if self._reference is None:
            self._reference = reference
            self._out.append((READY, body))
        elif reference != self._reference:
            raise EvaluatorError("another reference value than before the restart")
        for chunk in self._chunks.missing():
            self._process.send(CHUNK, chunk.pack())

    def _take_point(self, body: bytes) -> None:
        if not self._is_serving:
            return  # of the job before
        seconds = self._chunks.take(body)
        self._longest_s = max(self._longest_s, seconds)
        self._streak, self._culprit = 0, -1

    def _check_time(self) -> None:
        if not self._is_serving:
            limit = START_TIMEOUT_S
            # Between its start and its job a process is silent as long as the master is.
            is_expected = not self._is_waiting and (self._has_job or not self._is_up)
        else:
            measured = max(SHORTEST_TIMEOUT_S, TIMEOUT_FACTOR * self._longest_s)
            limit = self._patience.point_timeout_s or measured
            is_expected = bool(self._chunks)
        if is_expected and self._clock() - self._since > limit:
            raise EvaluatorError(f"no answer for {limit:g} s")

    def _fail(self, reason: str) -> None:
        """Count a failure, give the point another try or up, and start a new process."""
        self._process.stop()
        culprit = self._chunks.blame(reason) if self._is_serving and self._chunks else None
        if culprit is None or culprit != self._culprit:
            self._streak += 1
        self._culprit = -1 if culprit is None else culprit
        if self._streak >= FAILURES_TO_RETIRE:
            self._is_retired, self._is_serving = True, False
            text = f"{self._streak} failures without a finished point, the last one: {reason}"
            self._out.append((RETIRED, text.encode()))
            return
        self._start_again()

    def _start_again(self) -> None:
        self._is_serving = self._is_up = self._has_job = self._is_waiting = False
        self._unready = 0
        self._is_proving = self._proves and self._reference is None
        self._process = self._start(self._is_proving)
        self._since = self._clock()
