"""The master's loop: every point is handed out, in order of importance, to whoever is free."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from losscape_mpi.farm.channel import BEAT_S, SILENCE_S
from losscape_mpi.farm.clock import AwakeClock
from losscape_mpi.farm.ending import close_links, end_workers
from losscape_mpi.farm.ledger import Ledger
from losscape_mpi.farm.links import Link
from losscape_mpi.farm.member import Member
from losscape_mpi.farm.stage import Ready, Round, Stage
from losscape_mpi.farm.start import expect, text_of
from losscape_mpi.farm.waiting import LINK_WAIT_S, MASTER_WAIT_S, Backoff
from losscape_mpi.point.frames import (
    BEAT,
    CHUNK,
    FAILURE,
    NOTE,
    PAUSE,
    READY,
    RESULT,
    RETIRED,
    Bytes,
    Frame,
)
from losscape_mpi.point.records import Answers, unpack_ready

logger = logging.getLogger(__name__)

WATCH_S = 1.0  # between two looks for silent workers and late chunks


class Master:
    """Schedules points over workers; knows neither what a value means nor where it is stored."""

    def __init__(
        self,
        links: Sequence[Link],
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        *,
        retries: int = 0,
    ) -> None:
        self._clock, self._sleep, self._retries = clock or AwakeClock(), sleep, retries
        now = self._next_watch = self._next_beat = self._clock()
        self.members = [Member(link, now) for link in links]
        self._round: Round | None = None
        # Of the present job: second copies may fly from run to run.
        self._ledger = Ledger(retries=retries)
        self.on_gone: Callable[[int, str], None] = lambda _number, _why: None

    def begin(self, job: Bytes) -> None:
        """Give all workers a job; the next `run` is about it."""
        self._ledger = Ledger(retries=self._retries)
        for member in self.members:
            member.begin(job)

    def run(self, stages: Iterable[Stage], ready: Ready, stopping: Callable[[], bool]) -> bool:
        """Have every index of every stage answered, stage by stage.

        Args:
            stages: The next one is asked for when all indices of the one before are answered.
            ready: Called with a worker's number, its reference row and the seconds of a point,
                before any of its answers; first with worker 0, which proves that the job gives
                the same values twice. Not called for workers that were ready before.
            stopping: Polled; True ends the run early.

        Returns:
            Whether all is done; False if the run was stopped or all workers are gone.
        """
        here = self._round = Round(iter(stages), ready, self._ledger)
        here.workers = sum(member.may_work() for member in self.members)
        backoff = Backoff(MASTER_WAIT_S, LINK_WAIT_S * len(self.members), self._sleep)
        for member in self.members:
            member.heard = self._clock()
        while not here.ledger.is_done() or self._next_stage(here):
            if stopping() or all(m.gone for m in self.members):
                return False
            busy = [self._serve(number, here) for number in range(len(self.members))]
            here.deliver_if_due(self._clock)
            self._watch(here)
            backoff.rest(any(busy))
        here.end()
        for member in self.members:
            member.tell(PAUSE)
        return True

    def stop(self) -> None:
        """End every worker; results that are on their way are still taken.

        A worker that does not end in time is taken for dead: the file is complete without it.
        """
        end_workers(self.members, self._take_last, self._clock)
        if self._round is not None:
            self._round.end()
        close_links(self.members)

    def _next_stage(self, here: Round) -> bool:
        """Begin the next stage, if there is one; returns whether there is."""
        here.deliver()  # a stage may be made from the answers of the one before
        stage = next(here.stages, None)
        if stage is None:
            return False
        here.stage = stage
        if stage.block is not None:
            for member in self.members:
                member.tell(*stage.block)
        here.ledger.extend(stage.indices, stage.not_by)
        for number in range(len(self.members)):
            self._feed(number, here)
        return True

    def _take_last(self, member: Member, body: Bytes) -> None:
        if self._round is not None and member.may_work():
            self._round.enter(self.members.index(member), body)

    def _serve(self, number: int, here: Round) -> bool:
        member = self.members[number]
        frame = None if member.link.is_lost else member.attempt(member.hear)
        if member.link.is_lost:
            self._dismiss(number, here, "lost")
        if frame is None:
            return False
        member.heard = self._clock()
        if not member.gone and frame[0] != BEAT:
            self._handle(number, frame, here)
        return True

    def _handle(self, number: int, frame: Frame, here: Round) -> None:
        member = self.members[number]
        if frame[0] == FAILURE and member.unechoed:
            member.warn_of(frame[1])  # of an older job
        elif frame[0] == FAILURE:
            here.ledger.blame(number, Answers.unpack(frame[1]), member.describe())
        elif frame[0] == RETIRED:
            logger.warning("warning: %s: %s", member.describe(), text_of(frame[1]))
            self._dismiss(number, here, "retired")
        elif frame[0] == NOTE:
            logger.info("%s", text_of(frame[1]))
        elif member.is_ready:
            here.enter(number, expect(frame, RESULT))
            self._feed(number, here)
        else:
            member.seconds, member.reference = unpack_ready(expect(frame, READY))
            self._admit(here)

    def _admit(self, here: Round) -> None:
        """Let those workers begin that may; nobody before worker 0 has proved the job."""
        if self.members[0].reference is None and not self.members[0].gone:
            return
        for number, member in enumerate(self.members):
            if member.reference is not None and not member.is_ready:
                here.ready(number, member.reference, member.seconds)
                member.is_ready = True
                here.workers += member.may_work()
                self._feed(number, here)

    def _feed(self, number: int, here: Round) -> None:
        member = self.members[number]
        while member.may_work():
            chunk = here.ledger.next_chunk(number, here.workers, self._clock())
            if chunk is None:
                return
            member.tell(CHUNK, chunk.pack())

    def _dismiss(self, number: int, here: Round, why: str) -> None:
        """Give a worker no more points; those that it owes go to others."""
        member = self.members[number]
        if member.gone:
            return
        here.workers -= member.may_work()
        member.gone = why
        here.ledger.give_back(number)
        logger.warning("warning: %s is %s, its points go to others", member.describe(), why)
        self.on_gone(number, why)
        self._admit(here)
        for other in range(len(self.members)):
            self._feed(other, here)

    def _watch(self, here: Round) -> None:
        """Once in a while: heartbeats, silent workers, second copies of late chunks."""
        now = self._clock()
        if now < self._next_watch:
            return
        self._next_watch = now + WATCH_S
        if now >= self._next_beat:
            self._next_beat = now + BEAT_S
            for member in self.members:
                if not member.link.is_lost:
                    member.attempt(lambda link=member.link: link.send(BEAT))  # type: ignore[misc]
        for number, member in enumerate(self.members):
            if member.link.is_remote and not member.gone and now - member.heard > SILENCE_S:
                member.link.is_lost = True
                self._dismiss(number, here, f"silent for {SILENCE_S:g} s")
            self._feed(number, here)
