"""Waiting for MPI without burning a core, and the two collectives of a run's start."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

MASTER_WAIT_S = 2e-3  # a third of a percent of a core (docs/design.md)
LINK_WAIT_S = 50e-6  # for each worker: looking at one takes 1 to 2 us, so 4 % of a core at most
WORKER_WAIT_S = 5e-3
FIRST_WAIT_S = 50e-6
BROADCAST_BYTES = 1 << 28  # MPI counts are 32-bit integers


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


def broadcast(comm: Any, block: bytes | None) -> bytes | None:
    """Send a block of bytes from rank 0 to all ranks.

    Args:
        comm: Communicator.
        block: The block on rank 0; None tells the others that there will be none.

    Returns:
        The block, on every rank; None if rank 0 gave None.
    """
    size = np.array([-1 if block is None else len(block)], dtype="i8")
    wait_for([comm.Ibcast(size, root=0)])
    if size[0] < 0:
        return None
    buffer = np.zeros(size[0], dtype="u1")
    if block is not None:
        buffer[:] = np.frombuffer(block, dtype="u1")
    for start in range(0, len(buffer), BROADCAST_BYTES):
        wait_for([comm.Ibcast(buffer[start : start + BROADCAST_BYTES], root=0)])
    return buffer.tobytes()
