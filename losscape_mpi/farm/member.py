"""What the master knows of one worker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from losscape_mpi.farm.links import Link, LinkLostError
from losscape_mpi.point.frames import BEAT, DECISION, JOB, READY, RESULT, Bytes, Frame
from losscape_mpi.point.records import Answers

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
        unechoed: Jobs that it has been given and has not heard of yet.
        is_ready: Whether it has been told to the run's `ready`.
        gone: Why it gets no more points; empty while it may.
    """

    link: Link
    heard: float
    device: np.void | None = None
    reference: np.ndarray | None = None
    seconds: float = 0.0
    unechoed: int = 0
    is_ready: bool = False
    gone: str = ""

    def may_work(self) -> bool:
        """Return whether points may be sent to it."""
        return self.is_ready and not self.gone

    def begin(self, job: Bytes) -> None:
        """Give it a new job, for which it must get ready anew."""
        self.reference, self.is_ready = None, False
        self.unechoed += 1
        self.tell(JOB, job)

    def hear(self) -> Frame | None:
        """Return its next frame, or None; what is of an older job is a sign of life alone.

        Raises:
            LinkLostError: If the worker has died.
        """
        frame = self.link.poll()
        if frame is None:
            return None
        is_old = self.unechoed > 0 and frame[0] in (READY, RESULT, DECISION)
        if frame[0] == JOB:
            self.unechoed -= 1
        return (BEAT, b"") if is_old or frame[0] == JOB else frame

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

    def warn_of(self, failure: Bytes) -> None:
        """Say that a point failed that nobody asks for any more."""
        index, reason = Answers.unpack(failure).reason()
        logger.warning("warning: %s: point %d: %s", self.describe(), index, reason)

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
