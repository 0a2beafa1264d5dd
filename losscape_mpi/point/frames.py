"""Frames: length-prefixed messages on the pipes between a rank and its evaluator process.

The farm moves frames without knowing what a loss is; the evaluator fills them without knowing MPI.
Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections import deque

import numpy as np

Bytes = bytes | memoryview
Frame = tuple[bytes, Bytes]

# From an evaluator process: its device, the end of its preparations, an answer, a user's mistake,
# a line for the log, a sign of life between two passes of work that answers nothing yet.
HELLO, READY, POINT, MISTAKE, NOTE, BUSY = b"H", b"R", b"P", b"M", b"N", b"Y"
# To it: a task, the points that are asked for. A rank echoes a job without its body: all that it
# said before the echo is of older jobs.
JOB, CHUNK = b"J", b"C"
# What one process decides for all (both ways), and that a process waits for it.
DECISION, WAITING = b"K", b"W"
# Blocks that belong to a task: values at the anchors, a vector.
ANCHORS, VECTOR = b"A", b"V"
# From a rank to the master: a chunk's answers, a point that is tried again, a worker that gave up,
# its end.
RESULT, FAILURE, RETIRED, BYE = b"S", b"F", b"X", b"B"
# Between ranks, both ways: I am alive. To a worker: expect silence now; end.
BEAT, PAUSE, STOP = b"T", b"Z", b"E"

HEADER = np.dtype([("kind", "S1"), ("size", "<u8")])
SMALL_BODY = 4096  # bytes; what is larger is not copied
_PIPE_BYTES = 1 << 20  # of the kernel's buffer: blocks of hundreds of megabytes pass


class PipeClosedError(EOFError):
    """The other side of a pipe has gone."""


def header_of(kind: bytes, size: int) -> bytes:
    """Return the header of a frame with a body of `size` bytes."""
    return np.array([(kind, size)], dtype=HEADER).tobytes()


def read_header(data: Bytes | bytearray | np.ndarray) -> tuple[bytes, int]:
    """Return kind and size of the frame whose header these bytes begin with."""
    header = np.frombuffer(data, dtype=HEADER, count=1)[0]
    return bytes(header["kind"]), int(header["size"])


def write_frame(descriptor: int, kind: bytes, body: Bytes = b"") -> None:
    """Write one frame to a blocking pipe.

    Raises:
        PipeClosedError: If the other side closed the pipe.
    """
    header = header_of(kind, len(body))
    is_small = len(body) <= SMALL_BODY  # in one call: a point of a tiny network takes 20 us
    for whole in [header + bytes(body)] if is_small else [header, body]:
        part = memoryview(whole)
        while part:
            try:
                part = part[os.write(descriptor, part) :]
            except BrokenPipeError as error:
                raise PipeClosedError("the other side of the pipe is closed") from error


def read_frame(descriptor: int) -> tuple[bytes, bytes]:
    """Read one frame from a blocking pipe.

    Raises:
        PipeClosedError: If the other side closed the pipe.
    """
    kind, size = read_header(_read_exactly(descriptor, HEADER.itemsize))
    return kind, _read_exactly(descriptor, size)


class FrameReader:
    """Collects frames from a pipe without ever blocking."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._buffer = bytearray()

    def poll(self) -> tuple[bytes, bytes] | None:
        """Return the next whole frame, or None if none has arrived.

        Raises:
            PipeClosedError: If the other side closed the pipe.
        """
        frame = self._take()
        while frame is None:
            try:
                data = os.read(self._descriptor, _PIPE_BYTES)
            except BlockingIOError:
                return None
            if not data:
                raise PipeClosedError("the other side of the pipe is closed")
            self._buffer += data
            frame = self._take()
        return frame

    def _take(self) -> tuple[bytes, bytes] | None:
        if len(self._buffer) < HEADER.itemsize:
            return None
        kind, size = read_header(bytes(self._buffer[: HEADER.itemsize]))
        end = HEADER.itemsize + size
        if len(self._buffer) < end:
            return None
        body = bytes(memoryview(self._buffer)[HEADER.itemsize : end])
        del self._buffer[:end]
        return kind, body


class FrameWriter:
    """Writes frames to a pipe without ever blocking: what does not fit waits for `pump`.

    Two sides that write large blocks to each other at the same time would wait for ever otherwise.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        with contextlib.suppress(OSError, AttributeError):  # another system, or a limit of its own
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._descriptor = descriptor
        self._waiting: deque[memoryview] = deque()

    @property
    def is_busy(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._waiting)

    def send(self, kind: bytes, body: Bytes = b"") -> None:
        """Write a frame, or as much of it as fits now; the body must not change any more.

        Raises:
            PipeClosedError: If the other side closed the pipe.
        """
        parts = (memoryview(header_of(kind, len(body))), memoryview(body))
        self._waiting.extend(part for part in parts if len(part))
        self.pump()

    def pump(self) -> bool:
        """Write as much of what waits as fits now; returns whether anything did.

        Raises:
            PipeClosedError: If the other side closed the pipe.
        """
        has_moved = False
        while self._waiting:
            try:
                written = os.write(self._descriptor, self._waiting[0])
            except BlockingIOError:
                break
            except BrokenPipeError as error:
                raise PipeClosedError("the other side of the pipe is closed") from error
            has_moved = True
            rest = self._waiting.popleft()[written:]
            if len(rest):
                self._waiting.appendleft(rest)
        return has_moved


def _read_exactly(descriptor: int, size: int) -> bytes:
    parts = []
    while size:
        data = os.read(descriptor, min(size, 1 << 24))
        if not data:
            raise PipeClosedError("the other side of the pipe is closed")
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
