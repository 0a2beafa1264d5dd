"""One run of several stages: what is asked for when, and what the workers are told before."""

import numpy as np
import pytest
from fake_links import Clock, FakeLink, Log, crew, introduced, never, nobody
from fake_world import value_at

from losscape_mpi.farm.links import LinkLostError
from losscape_mpi.farm.stage import Stage
from losscape_mpi.point.frames import ANCHORS, BEAT, CHUNK, PAUSE, RETIRED, VECTOR

pytestmark = pytest.mark.usefixtures("clock")
FIRST, SECOND = (VECTOR, b"first" * 10_000), (VECTOR, b"second" * 10_000)


def kinds_and_points(link):
    """What a worker was told: blocks as they are, chunks as their points."""
    told = [(k, w) for k, w in link.given if k not in (BEAT, PAUSE)]
    return [w[1] if kind == CHUNK else (kind, w) for kind, w in told]


def test_each_worker_has_the_block_of_a_stage_before_any_of_its_points():
    links, logs = crew(1, 3, 7), [Log(), Log()]
    stages = [
        Stage(np.arange(40), logs[0].take, FIRST),
        Stage(np.arange(100, 140), logs[1].take, SECOND),
    ]
    assert introduced(links, Clock()).run(stages, nobody, never)
    for link in links:
        told = kinds_and_points(link)
        assert link.blocks == [FIRST, SECOND]
        first, second = told.index(FIRST), told.index(SECOND)
        assert first == 0
        assert all(p < 100 for points in told[1:second] for p in points)
        assert all(p >= 100 for points in told[second + 1 :] for p in points)
    assert sorted(logs[0].values) == list(range(40))
    assert sorted(logs[1].values) == list(range(100, 140))


def test_the_next_stage_is_asked_for_when_the_one_before_is_done_and_taken():
    links, log, asked = crew(1, 3), Log(), []

    def stages():
        for number in range(3):
            asked.append((number, sorted(log.values)))
            yield Stage(10 * number + np.arange(4), log.take)
        asked.append(("end", sorted(log.values)))

    assert introduced(links, Clock()).run(stages(), nobody, never)
    every = [0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]
    assert asked == [(0, []), (1, every[:4]), (2, every[:8]), ("end", every)]


def test_each_stage_has_its_own_callback_even_for_the_same_points():
    links, logs = crew(1, 5), [Log(), Log(), Log()]
    stages = [Stage(np.arange(9), log.take) for log in logs]
    assert introduced(links, Clock()).run(stages, nobody, never)
    for log in logs:
        assert log.values == {k: [value_at(k, 0), value_at(k, 1)] for k in range(9)}


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_stage_without_points_tells_its_block_and_is_over(place):
    links, log = crew(1, 1), Log()
    stages = [Stage(np.arange(4), log.take), Stage(np.arange(4, 8), log.take)]
    stages.insert(place, Stage(np.arange(0), log.take, (ANCHORS, b"values")))
    assert introduced(links, Clock()).run(stages, nobody, never)
    assert sorted(log.values) == list(range(8))
    for link in links:
        assert link.blocks == [(ANCHORS, b"values")]


def test_a_run_without_stages_is_complete_at_once():
    (link,) = crew(1)
    log = Log()
    assert introduced([link], Clock()).run([], log.ready, never)
    assert log.events == []
    assert [kind for kind, _ in link.given] == [PAUSE]


def test_workers_are_told_of_the_pause_at_the_end_of_a_run_alone():
    links = crew(1, 3)
    master = introduced(links, Clock())
    for _ in range(2):
        stages = [Stage(np.arange(5), lambda _: None), Stage(np.arange(5), lambda _: None)]
        assert master.run(stages, nobody, never)
    for link in links:
        kinds = [kind for kind, _ in link.given]
        assert kinds.count(PAUSE) == 2
        assert kinds[-1] == PAUSE


def test_a_run_that_is_stopped_does_not_go_on_to_the_next_stage():
    links, log, asked = crew(1), Log(), []

    def stages():
        for number in range(2):
            asked.append(number)
            yield Stage(np.arange(100), log.take)

    assert not introduced(links, Clock()).run(stages(), nobody, lambda: len(log.values) > 5)
    assert asked == [0]


# ---- second copies and workers that go ---------------------------------------------------------


def test_a_second_copy_that_comes_in_the_next_stage_is_ignored(clock):
    clock.step = 0.5
    slow, fast = crew(80, 2, seconds=1.0)
    logs = [Log(), Log()]
    stages = [Stage(np.arange(20), logs[0].take), Stage(np.arange(400), logs[1].take, SECOND)]
    assert introduced([slow, fast], clock).run(stages, nobody, never)
    asked = [points for points in kinds_and_points(slow) if points != SECOND]
    copied = {p for points in asked[:2] for p in points}
    second = kinds_and_points(fast).index(SECOND)
    assert copied & {p for points in kinds_and_points(fast)[:second] for p in points}
    assert len(asked) > 2  # it answered its old ones and got more
    assert sorted(logs[0].values) == list(range(20))
    assert sorted(logs[1].values) == list(range(400))


def test_a_second_copy_that_comes_in_the_next_run_is_ignored(clock):
    clock.step = 0.5
    slow, fast = crew(80, 2, seconds=1.0)
    logs = [Log(), Log()]
    master = introduced([slow, fast], clock)
    assert master.run([Stage(np.arange(20), logs[0].take)], nobody, never)
    assert len(slow.flying) > 0
    assert master.run([Stage(np.arange(400), logs[1].take)], nobody, never)
    assert not slow.is_lost
    assert len(slow.chunks) > 2  # it answered its old ones and got more
    assert sorted(logs[0].values) == list(range(20))
    assert sorted(logs[1].values) == list(range(400))


@pytest.mark.parametrize("how", ["lost", "retired"])
def test_a_worker_that_goes_between_two_stages_is_told_and_asked_for_nothing_more(clock, how):
    clock.step = 0.1
    going, other = crew(1, 1)
    logs, gone = [Log(), Log()], []

    def stages():
        yield Stage(np.arange(20), logs[0].take, FIRST)
        if how == "lost":
            going.is_dead = True
        else:
            going.say(RETIRED, b"3 failures")
        yield Stage(np.arange(60), logs[1].take, SECOND)

    master = introduced([going, other], clock)
    master.on_gone = lambda *given: gone.append(given)
    assert master.run(stages(), nobody, never)
    assert gone == [(0, how)]
    assert sorted(logs[0].values) == list(range(20))
    assert sorted(logs[1].values) == list(range(60))
    before = len(going.given)
    assert master.run([Stage(np.arange(0), nobody, (ANCHORS, b"values"))], nobody, never)
    assert len(going.given) == before
    assert (ANCHORS, b"values") in other.blocks


def test_a_worker_that_dies_while_it_is_told_a_block_costs_nothing(clock):
    class Dying(FakeLink):
        def send(self, kind, body=b""):
            if kind == VECTOR and body == SECOND[1]:
                raise LinkLostError("MPI_ERR_PROC_FAILED")
            super().send(kind, body)

    dying, other, logs = Dying("rank 1"), FakeLink("rank 2"), [Log(), Log()]
    stages = [Stage(np.arange(9), logs[0].take, FIRST), Stage(np.arange(9), logs[1].take, SECOND)]
    assert introduced([dying, other], clock).run(stages, nobody, never)
    assert dying.is_lost
    assert sorted(logs[1].values) == list(range(9))


def test_workers_that_are_ready_are_not_announced_again_in_the_next_run():
    links, log = crew(1, 1), Log()
    master = introduced(links, Clock())
    assert master.run([Stage(np.arange(20), log.take)], log.ready, never)
    again = Log()
    assert master.run([Stage(np.arange(20), again.take)], again.ready, never)
    assert sorted(e[1] for e in log.events if e[0] == "ready") == [0, 1]
    assert all(event[0] == "take" for event in again.events)


def test_a_worker_that_gets_ready_in_a_later_run_joins_it():
    early, late = FakeLink("rank 1"), FakeLink("rank 2")
    late.frames[1] = (300, late.prepared())
    first, second = Log(), Log()
    master = introduced([early, late], Clock())
    assert master.run([Stage(np.arange(10), first.take)], first.ready, never)
    assert late.points == []
    assert master.run([Stage(np.arange(5000), second.take)], second.ready, never)
    assert [e[:2] for e in second.events if e[0] == "ready"] == [("ready", 1)]
    assert late.points


def test_silence_between_two_runs_is_no_loss(clock):
    clock.step = 0.5
    links, logs = crew(1, 1), [Log(), Log()]
    master = introduced(links, clock)
    assert master.run([Stage(np.arange(20), logs[0].take)], nobody, never)
    clock.now += 1e5
    assert master.run([Stage(np.arange(20), logs[1].take)], nobody, never)
    assert not any(link.is_lost for link in links)
