"""The master's end of a worker: its own evaluator process, or another rank."""

from __future__ import annotations

import contextlib
from typing import Any, Protocol

from losscape_mpi.farm.channel import Channel
from losscape_mpi.farm.supervisor import Supervisor
from losscape_mpi.farm.waiting import mpi_errors
from losscape_mpi.point.frames import BEAT, BYE, PAUSE, STOP, Bytes, Frame


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

    def send(self, kind: bytes, body: Bytes = b"") -> None:
        """Give the worker a frame."""

    def stop(self) -> None:
        """Ask the worker to end now; `stopped` is true once it has."""

    def close(self) -> None:
        """Give up what is still open."""


class LocalLink:
    """The evaluator process that this rank owns itself."""

    def __init__(self, evaluator: Supervisor) -> None:
        self.name = "rank 0"
        self.is_remote = False
        self.stopped = self.is_lost = False
        self._evaluator = evaluator

    def poll(self) -> Frame | None:
        """Return the next frame of the process, or None."""
        return None if self.stopped else self._evaluator.poll()

    def send(self, kind: bytes, body: Bytes = b"") -> None:
        """Give the process a frame; signs of life it needs none, it dies with this rank."""
        if kind not in (BEAT, PAUSE):
            self._evaluator.send(kind, body)

    def stop(self) -> None:
        """End the process."""
        self._evaluator.stop()
        self.stopped = True

    def close(self) -> None:
        """Do nothing: stopping has closed the pipes."""


class RemoteLink:
    """A worker on another rank."""

    def __init__(self, comm: Any, rank: int) -> None:
        self.name = f"rank {rank}"
        self.is_remote = True
        self.stopped = self.is_lost = False
        self._channel = Channel(comm, rank)

    def poll(self) -> Frame | None:
        """Return the next frame of the rank, or None.

        Raises:
            LinkLostError: If the rank has died.
        """
        if self.stopped:
            return None
        try:
            frame = self._channel.poll()
        except mpi_errors() as error:
            raise LinkLostError(str(error)) from error
        self.stopped = frame is not None and frame[0] == BYE
        return frame

    def send(self, kind: bytes, body: Bytes = b"") -> None:
        """Send the rank a frame; its death is left to `poll` to find."""
        with contextlib.suppress(*mpi_errors()):
            self._channel.send(kind, body)

    def stop(self) -> None:
        """Ask the rank to end now."""
        self.send(STOP)

    def close(self) -> None:
        """Cancel the receives that no message will match, and let the sends end.

        Raises:
            LinkLostError: If the rank has died.
        """
        try:
            self._channel.close()
        except mpi_errors() as error:
            raise LinkLostError(str(error)) from error
