"""What travels between ranks and evaluator processes: frames and fixed-size numpy records.

The farm moves these records without knowing what a loss is; the evaluator fills them without
knowing MPI. Nothing is pickled.
"""

from __future__ import annotations

import os

import numpy as np

MAX_CHUNK = 128  # points; keeps a request below 1 kB

# Frame kinds on the pipe between a rank and its evaluator process.
HELLO, JOB, READY, CHUNK, POINT, RESULT, MISTAKE = b"H", b"J", b"R", b"C", b"P", b"S", b"M"
FAILURE, RETIRED = b"F", b"X"  # a point that had to be tried again; a worker that gave up
# What is chosen at the start (both ways), a line for the log, a wait for the choices of another
# process, and the values at the anchors.
CHOICES, NOTE, WAITING, ANCHORS = b"K", b"N", b"W", b"A"
BUSY = b"B"  # a sign of life between two passes of work that answers nothing yet
_HEADER = np.dtype([("kind", "S1"), ("size", "<u8")])

DEVICE_RECORD = np.dtype(
    [
        ("host", "S64"),
        ("name", "S96"),
        ("uuid", "S64"),  # empty for a CPU
        ("memory_bytes", "<u8"),
        ("threads", "<u4"),
        ("is_cuda", "u1"),
    ]
)

CHUNK_RECORD = np.dtype([("id", "<i8"), ("count", "<i4"), ("points", "<i4", (MAX_CHUNK,))])


def point_record(num_columns: int) -> np.dtype:
    """Return the record of one evaluated point, for a study with this number of columns."""
    return np.dtype(
        [
            ("index", "<i4"),
            ("status", "u1"),
            ("attempts", "u1"),
            ("seconds", "<f4"),
            ("values", "<f8", (num_columns,)),
        ]
    )


def result_record(num_columns: int) -> np.dtype:
    """Return the record that answers a chunk."""
    points = ("points", point_record(num_columns), (MAX_CHUNK,))
    return np.dtype([("id", "<i8"), ("count", "<i4"), points])


class PipeClosedError(EOFError):
    """The other side of a pipe has gone."""


def chunk_of(chunk_id: int, points: np.ndarray) -> np.ndarray:
    """Return the record, shape (1,), that asks for some flat grid indices."""
    record = np.zeros(1, dtype=CHUNK_RECORD)
    record["id"], record["count"] = chunk_id, len(points)
    record["points"][0, : len(points)] = points
    return record


def write_frame(descriptor: int, kind: bytes, body: bytes | memoryview = b"") -> None:
    """Write one length-prefixed message to a blocking pipe.

    Raises:
        PipeClosedError: If the other side closed the pipe.
    """
    header = np.array([(kind, len(body))], dtype=_HEADER).tobytes()
    for part in (memoryview(header), memoryview(body)):
        while part:
            try:
                part = part[os.write(descriptor, part) :]  # noqa: PLW2901
            except BrokenPipeError as error:
                raise PipeClosedError("the other side of the pipe is closed") from error


def read_frame(descriptor: int) -> tuple[bytes, bytes]:
    """Read one message from a blocking pipe.

    Returns:
        Its kind and its body.

    Raises:
        PipeClosedError: If the other side closed the pipe.
    """
    header = np.frombuffer(_read_exactly(descriptor, _HEADER.itemsize), dtype=_HEADER)[0]
    return bytes(header["kind"]), _read_exactly(descriptor, int(header["size"]))


class FrameReader:
    """Collects messages from a pipe without ever blocking."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._buffer = bytearray()

    def poll(self) -> tuple[bytes, bytes] | None:
        """Return the next whole message as (kind, body), or None if none has arrived.

        Raises:
            PipeClosedError: If the other side closed the pipe.
        """
        frame = self._take()
        while frame is None:
            try:
                data = os.read(self._descriptor, 1 << 20)
            except BlockingIOError:
                return None
            if not data:
                raise PipeClosedError("the other side of the pipe is closed")
            self._buffer += data
            frame = self._take()
        return frame

    def _take(self) -> tuple[bytes, bytes] | None:
        if len(self._buffer) < _HEADER.itemsize:
            return None
        header = np.frombuffer(self._buffer[: _HEADER.itemsize], dtype=_HEADER)[0]
        end = _HEADER.itemsize + int(header["size"])
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_HEADER.itemsize : end])
        del self._buffer[:end]
        return bytes(header["kind"]), body


def _read_exactly(descriptor: int, size: int) -> bytes:
    parts = []
    while size:
        data = os.read(descriptor, min(size, 1 << 24))
        if not data:
            raise PipeClosedError("the other side of the pipe is closed")
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
