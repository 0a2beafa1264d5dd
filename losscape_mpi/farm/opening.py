"""What comes before the first point: the workers introduce themselves, one of them tunes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from losscape_mpi import wire
from losscape_mpi.errors import UserError
from losscape_mpi.farm.desk import Desk
from losscape_mpi.farm.messages import BEAT, BEAT_S, MASTER_WAIT_S, Backoff

logger = logging.getLogger(__name__)

START_DEADLINE_S = 600.0  # torch from a cold parallel file system takes minutes

Clock = Callable[[], float]


def introductions(
    desks: Sequence[Desk], stopping: Callable[[], bool], clock: Clock = time.monotonic
) -> list[np.void]:
    """Wait until every worker has opened its device; returns their device records.

    Args:
        desks: All workers.
        stopping: Polled; True ends the waiting, whoever is still silent.
        clock: Seconds, from anywhere.

    Raises:
        UserError: If a worker reports a mistake of the user's.
        LinkLostError: If one dies.
        TimeoutError: If one stays silent.
    """
    deadline, backoff = clock() + START_DEADLINE_S, Backoff(MASTER_WAIT_S)
    while (silent := [d for d in desks if d.device is None]) and not stopping():
        busy = False
        for desk, frame in _frames(silent):
            desk.device = np.frombuffer(expect(frame, wire.HELLO), wire.DEVICE_RECORD)[0]
            busy = True
        if clock() > deadline:
            raise TimeoutError(f"{silent[0].link.name} did not start in {START_DEADLINE_S} s")
        backoff.rest(busy)
    return [d.device for d in desks if d.device is not None]


def final_choices(
    desks: Sequence[Desk], stopping: Callable[[], bool], clock: Clock = time.monotonic
) -> bytes | None:
    """Wait for the choices that worker 0 makes, and give them to all.

    Args:
        desks: All workers, who have the job.
        stopping: Polled; True ends the waiting.
        clock: Seconds, from anywhere.

    Returns:
        The choices as worker 0 wrote them; None if the run shall stop.

    Raises:
        UserError: If a worker reports a mistake of the user's.
        LinkLostError: If one dies.
    """
    backoff, next_beat = Backoff(MASTER_WAIT_S), clock() + BEAT_S
    while not stopping():
        busy = False
        for _desk, frame in _frames(desks):
            busy = True
            if frame[0] == wire.NOTE:
                logger.info("%s", frame[1].decode(errors="replace"))
            else:
                choices = expect(frame, wire.CHOICES)
                for each in desks:
                    each.link.send_later(wire.CHOICES, choices)
                return choices
        if clock() >= next_beat:  # a worker takes a silent master for dead
            next_beat = clock() + BEAT_S
            for desk in desks:
                desk.link.beat()
        backoff.rest(busy)
    return None


def expect(frame: tuple[bytes, bytes], kind: bytes) -> bytes:
    """Return the body of a frame of this kind.

    Raises:
        UserError: If it reports a mistake of the user's instead.
        RuntimeError: If it is another one.
    """
    found, body = frame
    if found == wire.MISTAKE:
        raise UserError(body.decode(errors="replace"))
    if found != kind:
        raise RuntimeError(f"a worker sent frame {found!r}, expected {kind!r}")
    return body


def _frames(desks: Sequence[Desk]) -> Iterator[tuple[Desk, tuple[bytes, bytes]]]:
    for desk in desks:
        frame = desk.link.poll()
        if frame is not None and frame[0] not in (BEAT, wire.WAITING):
            yield desk, frame
