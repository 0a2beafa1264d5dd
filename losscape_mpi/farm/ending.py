"""The end of all workers: each is asked to stop, and what it still owes is heard."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from losscape_mpi.farm.member import Member
from losscape_mpi.farm.waiting import MASTER_WAIT_S, Backoff
from losscape_mpi.point.frames import RESULT, Bytes

STOP_DEADLINE_S = 20.0


def end_workers(
    members: Sequence[Member],
    take_last: Callable[[Member, Bytes], None],
    clock: Callable[[], float],
) -> None:
    """End every worker that lives; one that does not end in time is taken for dead.

    Args:
        members: All workers.
        take_last: Called with a worker and a result that was on its way.
        clock: Seconds, from anywhere.
    """
    deadline, backoff = clock() + STOP_DEADLINE_S, Backoff(MASTER_WAIT_S)
    present = [m for m in members if not m.link.is_lost]
    for member in present:
        member.attempt(member.link.stop)
    while running := [m for m in present if not (m.link.stopped or m.link.is_lost)]:
        is_late = clock() > deadline
        for member in running:
            frame = member.attempt(member.hear)
            if frame is not None and frame[0] == RESULT:
                take_last(member, frame[1])
            elif frame is None and is_late and not member.link.is_lost:
                member.lose(f"did not stop in {STOP_DEADLINE_S:g} s")
        backoff.rest(busy=False)


def close_links(members: Sequence[Member]) -> None:
    """Close the links to all workers that ended: what was sent to a dead rank never ends."""
    for member in members:
        if not member.link.is_lost:
            member.attempt(member.link.close)
