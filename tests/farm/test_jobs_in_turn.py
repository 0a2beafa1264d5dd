"""Several jobs, one after another, with the same workers."""

import numpy as np
import pytest
from fake_links import Clock, JobLink, Log, failure, introduced, never, nobody

from losscape_mpi.farm.stage import Stage
from losscape_mpi.farm.start import decision
from losscape_mpi.point.frames import (
    CHUNK,
    DECISION,
    JOB,
    PAUSE,
    READY,
    RETIRED,
    VECTOR,
)
from losscape_mpi.point.records import pack_ready

pytestmark = pytest.mark.usefixtures("clock")


class JobLog(Log):
    """The callbacks of a run, without what is the same in each."""

    def readies(self):
        return [event[1:] for event in self.events if event[0] == "ready"]


def compute(master, points, job=None):
    """Run one stage; returns what the callbacks heard."""
    log = JobLog()
    if job is not None:
        master.begin(job)
    assert master.run([Stage(np.asarray(points), log.take)], log.ready, never)
    return log


def test_all_workers_get_ready_anew_for_each_job():
    links = [JobLink("rank 1"), JobLink("rank 2", cost=3)]
    master = introduced(links, Clock())
    logs = [compute(master, range(30), job) for job in (b"one", b"two", b"three")]
    for number, log in enumerate(logs, start=1):
        assert sorted(log.readies()) == [(0, [number]), (1, [number])]
        assert log.readies()[0] == (0, [number])  # which proves the job
        assert sorted(log.values) == list(range(30))
    for link in links:
        assert link.jobs == [b"one", b"two", b"three"]
        kinds = [kind for kind, _ in link.given]
        first, second = (k for k, kind in enumerate(kinds) if kind == JOB and k)
        assert CHUNK in kinds[:first]
        assert PAUSE in kinds[:first]
        assert CHUNK in kinds[first:second]


def test_no_worker_is_asked_before_it_is_ready_for_the_job():
    slow, fast = JobLink("rank 1"), JobLink("rank 2")
    master = introduced([slow, fast], Clock())
    compute(master, range(20), b"one")
    slow.start = 50  # it proves the job: nobody begins before it
    log = compute(master, range(20), b"two")
    assert [event[0] for event in log.events[:2]] == ["ready", "ready"]
    assert sorted(log.values) == list(range(20))


def test_a_result_of_the_job_before_that_comes_late_is_ignored(clock):
    clock.step = 0.5
    slow, fast = JobLink("rank 1", cost=80), JobLink("rank 2")
    master = introduced([slow, fast], clock)
    compute(master, range(20), b"one")
    late = len(slow.flying)  # of which the other one has answered second copies
    assert late > 0
    log = compute(master, range(20), b"two")
    assert sorted(log.values) == list(range(20))
    assert {number for number, _ in log.readies()} == {0, 1}
    assert not slow.is_lost


def test_what_a_worker_owes_of_the_job_before_is_no_debt_in_the_next(clock):
    clock.step = 0.5
    slow, fast = JobLink("rank 1", cost=80), JobLink("rank 2")
    master = introduced([slow, fast], clock)
    compute(master, range(20), b"one")
    assert len(slow.flying) > 0
    slow.cost = 1
    log = compute(master, range(400), b"two")
    assert ("take", 0) in {event[:2] for event in log.events}
    assert sorted(log.values) == list(range(400))


def test_a_result_of_the_job_before_does_not_stand_for_the_same_chunk_of_the_next(clock):
    clock.step = 0.5

    class Shifting(JobLink):
        def reply(self, chunk):
            kind, body = super().reply(chunk)
            return kind, body[:-8] + np.float64(len(self.jobs)).tobytes()

    slow, fast = Shifting("rank 1", cost=80, start=5), Shifting("rank 2")
    master = introduced([slow, fast], clock)
    compute(master, range(2), b"one")
    assert [chunk.id for _, chunk in slow.flying] == [1]
    log = compute(master, range(2), b"two")  # which has a chunk of this number too
    assert {row[1] for row in log.values.values()} == {2.0}


def test_a_worker_that_gets_ready_too_late_for_its_job_is_not_ready_for_the_next():
    fast, slow = JobLink("rank 1"), JobLink("rank 2", start=100)
    master = introduced([fast, slow], Clock())
    log = compute(master, range(4), b"one")
    assert log.readies() == [(0, [1.0])]
    # It says that it is ready for the first job when the second one is on its way to it.
    slow.frames = type(slow.frames)([(1, frame) for _, frame in slow.frames])
    slow.start = 30
    log = compute(master, range(2000), b"two")
    assert log.readies() == [(0, [2.0]), (1, [2.0])]
    assert slow.points


@pytest.mark.parametrize("count", [1, 2, 5])
def test_jobs_without_a_run_are_only_overtaken(count):
    link = JobLink("rank 1")
    master = introduced([link], Clock())
    for number in range(count):
        master.begin(b"skipped %d" % number)
    log = compute(master, range(9), b"last")
    assert log.readies() == [(0, [count + 1.0])]
    assert sorted(log.values) == list(range(9))


def test_a_retired_worker_gets_no_further_job():
    retired, other = JobLink("rank 1"), JobLink("rank 2")
    master = introduced([retired, other], Clock())
    compute(master, range(5), b"one")
    retired.say(RETIRED, b"3 failures")
    log = compute(master, range(50), b"two")
    assert sorted(log.values) == list(range(50))
    compute(master, range(5), b"three")
    assert retired.jobs == [b"one", b"two"]
    assert other.jobs == [b"one", b"two", b"three"]


def test_a_worker_that_is_lost_between_jobs_is_left_out(clock):
    lost, other = JobLink("rank 1"), JobLink("rank 2")
    master = introduced([lost, other], clock)
    compute(master, range(5), b"one")
    lost.is_dead = True
    log = compute(master, range(5), b"two")
    assert sorted(log.values) == list(range(5))
    assert lost.is_lost
    before = len(lost.given)
    compute(master, range(5), b"three")
    assert len(lost.given) == before


def test_a_failure_of_the_job_before_is_only_warned_of(caplog):
    link = JobLink("rank 1")
    master = introduced([link], Clock())
    compute(master, range(5), b"one")
    link.say(*failure(3, "killed by signal 9"))
    compute(master, range(5), b"two")
    assert "point 3: killed by signal 9" in caplog.text


def test_what_workers_say_of_the_job_before_is_no_decision_about_the_next():
    class Deciding(JobLink):
        def send(self, kind, body=b""):
            super().send(kind, body)
            if kind == JOB and body == b"two":
                self.frames.pop()  # not ready before all have decided
                if self.name == "rank 1":
                    self.say(DECISION, b"{7}")
            if kind == DECISION:
                self.say(READY, pack_ready(0.5, self.reference()))

    links = [Deciding("rank 1"), Deciding("rank 2", cost=3, start=100)]
    master, log = introduced(links, Clock()), JobLog()
    compute(master, range(20), b"one")  # for which rank 2 gets ready too late
    master.begin(b"two")
    assert decision(master.members, never) == b"{7}"
    assert master.run([Stage(np.arange(200), log.take)], log.ready, never)
    assert log.readies() == [(0, [2.0]), (1, [2.0])]
    assert sorted(log.values) == list(range(200))


def test_a_block_belongs_to_its_job():
    link = JobLink("rank 1")
    master = introduced([link], Clock())
    for job in (b"one", b"two"):
        master.begin(job)
        stage = Stage(np.arange(3), lambda _: None, (VECTOR, job))
        assert master.run([stage], nobody, never)
    told = [frame for frame in link.given if frame[0] in (JOB, VECTOR)]
    assert told == [(JOB, b"one"), (VECTOR, b"one"), (JOB, b"two"), (VECTOR, b"two")]


def test_answers_on_their_way_are_taken_when_a_later_job_is_stopped():
    class Lingering(JobLink):
        is_asked = False

        def stop(self):
            self.is_asked = True

        def poll(self):
            if self.is_asked and not self.flying:
                self.stopped = True
            return super().poll()

    link, log = Lingering("rank 1", cost=4), JobLog()
    master = introduced([link], Clock())
    compute(master, range(5), b"one")
    master.begin(b"two")
    done = master.run([Stage(np.arange(300), log.take)], log.ready, lambda: len(log.values) > 9)
    owed, before = sum(len(c.indices) for _, c in link.flying), len(log.values)
    master.stop()
    assert not done
    assert owed > 0
    assert len(log.values) == before + owed


def test_a_job_that_nobody_has_run_can_be_stopped():
    link = JobLink("rank 1")
    master = introduced([link], Clock())
    log = compute(master, range(5), b"one")
    master.begin(b"two")
    before = dict(log.values)
    master.stop()
    assert link.stopped
    assert log.values == before
