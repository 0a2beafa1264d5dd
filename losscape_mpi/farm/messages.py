"""MPI messages of the farm: constant tags, fixed-size records, waiting without burning a core."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from losscape_mpi import wire

WORK, RESULT, CONTROL = 1, 2, 3  # MPI guarantees tags up to 32,767 only: never a tag per task

MASTER_WAIT_S = 2e-3  # a third of a percent of a core (docs/design.md)
LINK_WAIT_S = 50e-6  # for each worker: looking at one takes 1 to 2 us, so 4 % of a core at most
WORKER_WAIT_S = 5e-3
FIRST_WAIT_S = 50e-6

BEAT_S = 5.0  # between two heartbeats, in both directions
SILENCE_S = 60.0  # a rank that was not heard of for so long is taken for dead
# Counts of a chunk record that asks for no points.
STOP_COUNT, BEAT_COUNT, PARCEL_COUNT = 0, -1, -2

MAX_COLUMNS = 64
TEXT_BYTES = 2048
BROADCAST_BYTES = 1 << 28  # MPI counts are 32-bit integers

# Everything but results that a worker tells the master; kind as in `wire`, BYE or BEAT.
BYE, BEAT = b"B", b"T"
CONTROL_RECORD = np.dtype(
    [
        ("kind", "S1"),
        ("device", wire.DEVICE_RECORD),
        ("center", "<f8", (MAX_COLUMNS + 1,)),  # after the seconds that a point takes
        ("text", f"S{TEXT_BYTES}"),
    ]
)


class Parcel:
    """A block of bytes in chunk records: the first says kind and size, the others carry it."""

    def __init__(self) -> None:
        self._kind, self._size, self._body = b"", 0, bytearray()

    @staticmethod
    def wrap(kind: bytes, body: bytes) -> list[np.ndarray]:
        """Return the records, shape (1,) each, that carry a frame, in their order."""
        head = wire.chunk_of(len(body), np.array([kind[0]], dtype="i4"))
        head["count"] = PARCEL_COUNT
        records = [head]
        width = head["points"].nbytes
        for start in range(0, len(body), width):
            record = wire.chunk_of(-1, np.zeros(0, dtype="i4"))
            record["count"] = PARCEL_COUNT
            part = np.frombuffer(body[start : start + width], dtype="u1")
            record["points"].view("u1")[0, : len(part)] = part
            records.append(record)
        return records

    def take(self, record: np.ndarray) -> tuple[bytes, bytes] | None:
        """Take the next record, shape (1,); returns kind and body when it was the last one."""
        if not self._kind:
            self._kind = bytes([int(record["points"][0, 0])])
            self._size = int(record["id"][0])
        else:
            self._body += record["points"].tobytes()
        if len(self._body) < self._size:
            return None
        frame = self._kind, bytes(self._body[: self._size])
        self._kind, self._size, self._body = b"", 0, bytearray()
        return frame


class Backoff:
    """A sleep that doubles while nothing happens."""

    def __init__(
        self,
        longest_s: float,
        shortest_s: float = 0.0,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """Begin with short sleeps.

        Args:
            longest_s: What the sleep grows to.
            shortest_s: How long to sleep even after something happened.
            sleep: Lets seconds pass; `time.sleep` unless given.
        """
        self._longest_s = longest_s
        self._shortest_s = shortest_s
        self._sleep = sleep
        self._next_s = FIRST_WAIT_S

    def rest(self, busy: bool) -> None:
        """Sleep a little longer than last time, or as short as may be after something happened."""
        wait_s = self._shortest_s if busy else max(self._next_s, self._shortest_s)
        self._next_s = FIRST_WAIT_S if busy else min(2 * self._next_s, self._longest_s)
        if wait_s > 0:
            (self._sleep or time.sleep)(wait_s)


def mpi_errors() -> tuple[type[Exception], ...]:
    """Return MPI's exception, as something to except; nothing where MPI is not loaded."""
    module = sys.modules.get("mpi4py.MPI")
    return () if module is None else (module.Exception,)


def wait_for(requests: list[Any], idle: Callable[[], object] = lambda: None) -> None:
    """Wait for MPI requests without spinning.

    Args:
        requests: Requests to complete.
        idle: Called between the tests, to notice other things going wrong.
    """
    backoff = Backoff(WORKER_WAIT_S)
    while not all(request.Test() for request in requests):
        idle()
        backoff.rest(busy=False)


def exchange(comm: Any, record: np.ndarray) -> np.ndarray:
    """Return the records, shape (size,), that all ranks gave (shape (1,) each)."""
    everyone = np.zeros(comm.Get_size(), dtype=record.dtype)
    wait_for([comm.Iallgather(record.view("u1"), everyone.view("u1"))])
    return everyone


def broadcast(
    comm: Any, block: bytes | None, idle: Callable[[], object] = lambda: None
) -> bytes | None:
    """Send a block of bytes from rank 0 to all ranks.

    Args:
        comm: Communicator.
        block: The block on rank 0; None tells the others that there will be none.
        idle: Called while waiting.

    Returns:
        The block, on every rank; None if rank 0 gave None.
    """
    size = np.array([-1 if block is None else len(block)], dtype="i8")
    wait_for([comm.Ibcast(size, root=0)], idle)
    if size[0] < 0:
        return None
    buffer = np.zeros(size[0], dtype="u1")
    if block is not None:
        buffer[:] = np.frombuffer(block, dtype="u1")
    for start in range(0, len(buffer), BROADCAST_BYTES):
        wait_for([comm.Ibcast(buffer[start : start + BROADCAST_BYTES], root=0)], idle)
    return buffer.tobytes()
