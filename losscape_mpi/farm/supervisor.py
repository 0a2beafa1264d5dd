"""Keeps one evaluator process alive: what kills it costs a retry, not the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from losscape_mpi.farm.child import Assignment, Child
from losscape_mpi.farm.clock import AwakeClock
from losscape_mpi.farm.evaluator_process import EvaluatorError, EvaluatorProcess
from losscape_mpi.farm.open_chunks import OpenChunks
from losscape_mpi.farm.patience import FRAMES_A_LOOK, Failures, Patience, Silence
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


class Supervisor:
    """An evaluator process that is started again when it dies, hangs or answers nonsense.

    Until it has been ready once, its end is an error of the run: a problem that cannot be built
    would fail for ever. Later its end costs the running point, which is answered as failed: the
    master has it tried again. Three failures without a finished point between them, at points that
    never failed here before or before being ready again, retire the worker (its device is broken).
    A point at which the model raises is an answer like any other, the process lives on.
    """

    def __init__(
        self,
        start: Callable[[bool], EvaluatorProcess],
        patience: Patience,
        clock: Callable[[], float] | None = None,
        *,
        proves: bool = False,
    ) -> None:
        """Start the process.

        Args:
            start: Starts a process; its argument says whether it proves.
            patience: Retries and timeout.
            clock: Seconds, from anywhere; those that this process was awake unless given.
            proves: Whether this worker proves for all that a job gives the same values twice, and
                decides what is decided once. A process that is started again for a job that was
                ready does neither.
        """
        self._start, self._proves = start, proves
        self._child = Child(start(proves), proves)
        self._silence = Silence(patience, clock or AwakeClock())
        self._given = Assignment()
        self._is_known = self._has_been_ready = self._is_retired = False
        self._reference: bytes | None = None  # of the present job
        self._chunks = OpenChunks(lambda *frame: self._out.append(frame))
        self._failures = Failures()
        self._out: deque[Frame] = deque()

    @property
    def is_sending(self) -> bool:
        """Whether a large frame moves to the process: one that computes first takes nothing."""
        return not self._is_retired and self._child.process.is_sending

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
        left = FRAMES_A_LOOK
        while left and not self._out and not self._is_retired:
            left = left - 1 if self._hear() else 0
        return self._out.popleft() if self._out else None

    def stop(self) -> None:
        """End the process at once."""
        self._child.process.stop()

    def _begin_job(self, block: Bytes) -> None:
        self._given, self._reference = Assignment(block), None
        self._child.is_serving = self._child.is_waiting = False
        self._chunks.clear()
        self._failures.begin_job()
        self._silence.begin_job()
        self._out.append((JOB, b""))
        if self._proves and not self._child.is_proving and not self._is_retired:
            self._child.process.stop()
            self._start_again()
        if self._child.is_up and not self._is_retired:
            self._child.give(self._given)

    def _keep(self, kind: bytes, body: Bytes) -> None:
        """Send a block, and keep it for the processes to come: the last one of its kind."""
        self._given.keep(kind, body)
        self._child.is_waiting = False
        self._silence.begin()
        if self._child.has_job and not self._is_retired:
            self._child.process.send(kind, body)

    def _ask(self, chunk: Chunk) -> None:
        if not self._chunks:
            self._silence.begin()
        self._chunks.add(chunk)
        if self._child.is_serving:
            self._child.process.send(CHUNK, chunk.pack())

    def _hear(self) -> bool:
        """Take in a frame of the process, or its end; returns whether there may be more."""
        try:
            return self._listen()
        except EvaluatorError as error:
            if not self._has_been_ready:
                raise
            self._fail(str(error))
            return False

    def _listen(self) -> bool:
        frame = self._child.process.poll()
        if frame is None:
            self._silence.check(self._child, bool(self._chunks))
            return False
        self._silence.begin()
        kind, body = frame
        if kind == POINT:
            self._take_point(body)
        elif kind == READY:
            self._begin(body)
        elif kind == HELLO:
            self._greet(frame)
        elif kind == WAITING:
            self._child.is_waiting = not self._given.blocks
        elif kind != BUSY and (kind != DECISION or DECISION not in self._given.blocks):
            self._out.append(frame)
        return True

    def _greet(self, hello: Frame) -> None:
        self._child.is_up = True
        if self._given.job:
            self._child.give(self._given)
        elif not self._is_known:
            self._out.append(hello)
        self._is_known = True

    def _begin(self, body: bytes) -> None:
        if not self._child.settle():
            return  # of a job before
        seconds, _ = unpack_ready(body)
        reference = body[8:]
        self._silence.measure(seconds)
        self._child.is_serving = self._has_been_ready = True
        if self._reference is None:
            self._reference = reference
            self._out.append((READY, body))
        elif reference != self._reference:
            raise EvaluatorError("another reference value than before the restart")
        for chunk in self._chunks.missing():
            self._child.process.send(CHUNK, chunk.pack())

    def _take_point(self, body: bytes) -> None:
        if not self._child.is_serving:
            return  # of the job before
        seconds = self._chunks.take(body)
        self._silence.measure(seconds)
        self._failures.forgive()

    def _fail(self, reason: str) -> None:
        """Count a failure, give the point another try or up, and start a new process."""
        self._child.process.stop()
        culprit = self._chunks.blame(reason) if self._child.is_serving and self._chunks else None
        if self._failures.add(culprit):
            self._is_retired, self._child.is_serving = True, False
            self._out.append((RETIRED, self._failures.describe(reason).encode()))
            return
        self._start_again()

    def _start_again(self) -> None:
        is_proving = self._proves and self._reference is None
        self._child = Child(self._start(is_proving), is_proving)
        self._silence.begin()
