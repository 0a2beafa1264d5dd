"""What the master knows of one worker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from losscape_mpi.farm.links import Link, LinkLostError
from losscape_mpi.point.frames import Bytes

logger = logging.getLogger(__name__)


@dataclass
class Member:
    """A worker as the master sees it.

    Attributes:
        link: The way to it.
        heard: When its last message came, on the master's clock.
        device: Its device record, once it has introduced itself.
        reference: Its reference row, once it has prepared the present job.
        seconds: That a point takes, as it measured while preparing.
        is_ready: Whether it has been told to the run's `ready`.
        gone: Why it gets no more points; empty while it may.
    """

    link: Link
    heard: float
    device: np.void | None = None
    reference: np.ndarray | None = None
    seconds: float = 0.0
    is_ready: bool = False
    gone: str = ""

    def may_work(self) -> bool:
        """Return whether points may be sent to it."""
        return self.is_ready and not self.gone

    def begin(self, job: Bytes, kind: bytes) -> None:
        """Give it a new job, for which it must get ready anew."""
        self.reference, self.is_ready = None, False
        self.tell(kind, job)

    def tell(self, kind: bytes, body: Bytes = b"") -> None:
        """Send it a frame, unless it is known to be dead or has given up."""
        if not self.gone and not self.link.is_lost:
            self.attempt(lambda: self.link.send(kind, body))

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Return what an action of the link gives; None if the worker turns out to be dead."""
        try:
            return action()
        except LinkLostError as error:
            self.lose(str(error))
            return None

    def lose(self, why: str) -> None:
        """Take the worker for dead: nothing more is heard of it or sent to it."""
        logger.warning("warning: %s: %s", self.describe(), why)
        self.link.is_lost = True

    def describe(self) -> str:
        """Return the link's name with host and GPU, as far as they are known."""
        if self.device is None:
            return self.link.name
        host, uuid = bytes(self.device["host"]).decode(), bytes(self.device["uuid"]).decode()
        return f"{self.link.name} on {host}" + (f", GPU {uuid}" if uuid else "")
