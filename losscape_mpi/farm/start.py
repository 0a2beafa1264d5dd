"""What comes before the first point: the workers introduce themselves, one decides for all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.farm.channel import BEAT_S
from losscape_mpi.farm.clock import AwakeClock
from losscape_mpi.farm.member import Member
from losscape_mpi.farm.waiting import MASTER_WAIT_S, Backoff
from losscape_mpi.point.frames import (
    BEAT,
    DECISION,
    FAILURE,
    HELLO,
    MISTAKE,
    NOTE,
    RETIRED,
    WAITING,
    Bytes,
    Frame,
)
from losscape_mpi.point.records import DEVICE_RECORD

logger = logging.getLogger(__name__)

START_DEADLINE_S = 600.0  # torch from a cold parallel file system takes minutes

Clock = Callable[[], float]


def introductions(
    members: Sequence[Member], stopping: Callable[[], bool], clock: Clock | None = None
) -> list[np.void]:
    """Wait until every worker has opened its device; returns their device records.

    Args:
        members: All workers.
        stopping: Polled; True ends the waiting, whoever is still silent.
        clock: Seconds, from anywhere; those that this process was awake unless given.

    Raises:
        UserError: If a worker reports a mistake of the user's.
        LinkLostError: If one dies.
        TimeoutError: If one stays silent.
    """
    clock = clock or AwakeClock()
    deadline, backoff = clock() + START_DEADLINE_S, Backoff(MASTER_WAIT_S)
    while (silent := [m for m in members if m.device is None]) and not stopping():
        busy = False
        for member, frame in _frames(silent):
            member.device = np.frombuffer(expect(frame, HELLO), DEVICE_RECORD)[0]
            busy = True
        if clock() > deadline:
            raise TimeoutError(f"{silent[0].link.name} did not start in {START_DEADLINE_S} s")
        backoff.rest(busy)
    return [m.device for m in members if m.device is not None]


def decision(
    members: Sequence[Member], stopping: Callable[[], bool], clock: Clock | None = None
) -> bytes | None:
    """Wait for what worker 0 decides about the job, and give it to all.

    Args:
        members: All workers, who have the job.
        stopping: Polled; True ends the waiting.
        clock: Seconds, from anywhere; those that this process was awake unless given.

    Returns:
        The decision as worker 0 wrote it; None if the run shall stop.

    Raises:
        UserError: If a worker reports a mistake of the user's, or gives up.
        LinkLostError: If one dies.
    """
    if members[0].gone:
        raise UserError(f"{members[0].describe()} is {members[0].gone}, nobody decides; run again")
    clock = clock or AwakeClock()
    backoff, next_beat = Backoff(MASTER_WAIT_S), clock() + BEAT_S
    while not stopping():
        busy = False
        for member, frame in _frames(members):
            busy = True
            if frame[0] == NOTE:
                logger.info("%s", text_of(frame[1]))
            elif frame[0] == FAILURE:  # of an older job
                member.warn_of(frame[1])
            elif frame[0] == RETIRED:
                raise UserError(f"{member.describe()}: {text_of(frame[1])}; run again")
            else:
                decided = bytes(expect(frame, DECISION))
                for each in members:
                    each.link.send(DECISION, decided)
                return decided
        if clock() >= next_beat:  # a worker takes a silent master for dead
            next_beat = clock() + BEAT_S
            for member in members:
                member.link.send(BEAT)
        backoff.rest(busy)
    return None


def expect(frame: Frame, kind: bytes) -> Bytes:
    """Return the body of a frame of this kind.

    Raises:
        UserError: If it reports a mistake of the user's instead.
        RuntimeError: If it is another one.
    """
    found, body = frame
    if found == MISTAKE:
        raise UserError(text_of(body))
    if found != kind:
        raise RuntimeError(f"a worker sent frame {found!r}, expected {kind!r}")
    return body


def text_of(body: Bytes) -> str:
    """Return the text that a frame carries."""
    return bytes(body).decode(errors="replace")


def _frames(members: Sequence[Member]) -> Iterator[tuple[Member, Frame]]:
    for member in members:
        frame = member.hear()
        if frame is not None and frame[0] not in (BEAT, WAITING):
            yield member, frame
