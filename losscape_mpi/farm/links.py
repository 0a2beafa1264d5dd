"""The master's end of a worker: its own evaluator process, or another rank."""

from __future__ import annotations

import contextlib
from typing import Any, Protocol

import numpy as np

from losscape_mpi import wire
from losscape_mpi.farm.messages import (
    BEAT_COUNT,
    BYE,
    CONTROL,
    CONTROL_RECORD,
    RESULT,
    STOP_COUNT,
    WORK,
    Parcel,
    mpi_errors,
    wait_for,
)
from losscape_mpi.farm.supervisor import Supervisor

Frame = tuple[bytes, bytes]


class LinkLostError(RuntimeError):
    """MPI says that a rank has died: only a fault-tolerant MPI (ULFM) ever does."""


class Link(Protocol):
    """What the master needs of a worker; nothing here blocks."""

    name: str
    is_remote: bool
    stopped: bool
    is_lost: bool

    def poll(self) -> Frame | None:
        """Return the next frame (kind, body), or None."""

    def send_job(self, block: bytes) -> None:
        """Give the job to a worker that no broadcast reaches."""

    def expect_results(self, num_columns: int) -> None:
        """Say how wide results will be, before the first chunk is sent."""

    def send_chunk(self, record: np.ndarray) -> None:
        """Ask for a chunk, shape (1,)."""

    def send_later(self, kind: bytes, body: bytes) -> None:
        """Give the worker a frame that belongs to its job."""

    def beat(self) -> None:
        """Tell the worker that the master lives."""

    def stop(self) -> None:
        """Ask the worker to end now; `stopped` is true once it has."""

    def close(self) -> None:
        """Give up what is still open."""


class LocalLink:
    """The evaluator process that rank 0 owns itself."""

    def __init__(self, evaluator: Supervisor) -> None:
        self.name = "rank 0"
        self.is_remote = False
        self.stopped = self.is_lost = False
        self._evaluator = evaluator

    def poll(self) -> Frame | None:
        """Return the next frame of the process, or None."""
        return None if self.stopped else self._evaluator.poll()

    def send_job(self, block: bytes) -> None:
        """Give the job to the process."""
        self._evaluator.send_job(block)

    def expect_results(self, num_columns: int) -> None:
        """Do nothing: frames carry their length."""

    def send_chunk(self, record: np.ndarray) -> None:
        """Ask the process for a chunk."""
        self._evaluator.send_chunk(record)

    def send_later(self, kind: bytes, body: bytes) -> None:
        """Give the process a frame that belongs to its job."""
        self._evaluator.send_later(kind, body)

    def beat(self) -> None:
        """Do nothing: the process dies with this rank."""

    def stop(self) -> None:
        """End the process."""
        self._evaluator.stop()
        self.stopped = True

    def close(self) -> None:
        """Do nothing: stopping has closed the pipes."""


class RemoteLink:
    """A worker on another rank: one receive posted for each kind of message it may send."""

    def __init__(self, comm: Any, rank: int) -> None:
        self.name = f"rank {rank}"
        self.is_remote = True
        self.stopped = self.is_lost = False
        self._comm = comm
        self._rank = rank
        self._control = np.zeros(1, dtype=CONTROL_RECORD)
        self._control_request = self._post(self._control, CONTROL)
        self._result = np.zeros(0, dtype="u1")
        self._result_request: Any = None
        self._sends: list[tuple[Any, np.ndarray]] = []

    def poll(self) -> Frame | None:
        """Return the next message of the rank as a frame, or None.

        Raises:
            LinkLostError: If the rank has died.
        """
        try:
            return self._poll()
        except mpi_errors() as error:
            raise LinkLostError(str(error)) from error

    def _poll(self) -> Frame | None:
        self._sends = [s for s in self._sends if not s[0].Test()]
        # Results first: a worker says BYE after its last result.
        if self._result_request is not None and self._result_request.Test():
            body = self._result.tobytes()
            self._result_request = self._post(self._result, RESULT)
            return wire.RESULT, body
        if self.stopped or not self._control_request.Test():
            return None
        frame = _frame_of(self._control[0])
        self.stopped = frame[0] == BYE
        if not self.stopped:
            self._control_request = self._post(self._control, CONTROL)
        return frame

    def send_job(self, block: bytes) -> None:
        """Do nothing: a broadcast has carried the job."""

    def expect_results(self, num_columns: int) -> None:
        """Post the receive for results of this width."""
        self._result = np.zeros(1, dtype=wire.result_record(num_columns))
        self._result_request = self._post(self._result, RESULT)

    def send_chunk(self, record: np.ndarray) -> None:
        """Ask the rank for a chunk; its death is left to `poll` to find."""
        with contextlib.suppress(*mpi_errors()):
            request = self._comm.Isend(record.view("u1"), dest=self._rank, tag=WORK)
            self._sends.append((request, record))

    def send_later(self, kind: bytes, body: bytes) -> None:
        """Send the rank a frame that belongs to its job."""
        for record in Parcel.wrap(kind, body):
            self.send_chunk(record)

    def beat(self) -> None:
        """Tell the rank that this one lives."""
        self._order(BEAT_COUNT)

    def stop(self) -> None:
        """Ask the rank to end now."""
        self._order(STOP_COUNT)

    def close(self) -> None:
        """Cancel the receives that no message will match, and let the sends end.

        Raises:
            LinkLostError: If the rank has died.
        """
        requests = [r for r in (self._result_request,) if r is not None]
        if not self.stopped:
            requests.append(self._control_request)
        try:
            for request in requests:
                request.Cancel()
            wait_for([*requests, *(request for request, _ in self._sends)])
        except mpi_errors() as error:
            raise LinkLostError(str(error)) from error

    def _order(self, count: int) -> None:
        record = wire.chunk_of(-1, np.zeros(0, dtype="i4"))
        record["count"] = count
        self.send_chunk(record)

    def _post(self, buffer: Any, tag: int) -> Any:
        return self._comm.Irecv(buffer.view("u1"), source=self._rank, tag=tag)


def _frame_of(record: np.void) -> Frame:
    kind = bytes(record["kind"])
    if kind == wire.HELLO:
        return kind, record["device"].tobytes()
    if kind == wire.READY:
        return kind, record["center"].tobytes()
    return kind, bytes(record["text"])
