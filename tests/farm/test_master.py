from collections import deque

import numpy as np
import pytest
from fake_links import (
    NUM_COLUMNS,
    REFERENCE,
    Clock,
    FakeLink,
    Log,
    crew,
    failure,
    introduced,
    never,
    nobody,
    run,
)
from fake_world import answer, answers_of, hello, value_at

from losscape_mpi.errors import UserError
from losscape_mpi.farm.channel import BEAT_S, SILENCE_S
from losscape_mpi.farm.ending import STOP_DEADLINE_S
from losscape_mpi.farm.links import LinkLostError
from losscape_mpi.farm.master import WATCH_S, Master
from losscape_mpi.farm.stage import Stage
from losscape_mpi.farm.start import decision, introductions
from losscape_mpi.farm.trials import MOST_LINES
from losscape_mpi.point.frames import (
    BEAT,
    BYE,
    DECISION,
    MISTAKE,
    NOTE,
    RESULT,
    RETIRED,
    WAITING,
)
from losscape_mpi.point.records import MAX_CHUNK, Answers
from losscape_mpi.point.status import FAILED

pytestmark = pytest.mark.usefixtures("clock")


# ---- scheduling --------------------------------------------------------------------------------


@pytest.mark.parametrize("costs", [(1,), (1, 1), (1, 3, 7)])
def test_every_point_is_computed_once_and_taken_as_answered(costs):
    links = crew(*costs)
    _, is_complete, log = run(links, range(200))
    assert is_complete
    assert sorted(p for link in links for p in link.points) == list(range(200))
    assert log.values == {k: [value_at(k, 0), value_at(k, 1)] for k in range(200)}


def test_answers_that_came_together_are_taken_together():
    links, calls = crew(1, 1, 1), []

    def take(delivery):
        calls.append([number for number, _ in delivery])

    introduced(links, Clock()).run([Stage(np.arange(3), take)], nobody, never)
    assert calls == [[0, 1], [0]]


def test_points_are_handed_out_in_the_order_given():
    links = crew(1, 2, 3)
    order = np.random.default_rng(0).permutation(300)
    run(links, order)
    chunks = sorted(chunk for link in links for chunk in link.chunks)
    assert [number for number, _ in chunks] == list(range(len(chunks)))
    assert [p for _, points in chunks for p in points] == order.tolist()


def test_no_worker_ever_owes_more_than_two_chunks():
    links = crew(1, 5)
    run(links, range(300))
    assert [link.most_flying for link in links] == [2, 2]


def test_a_slow_worker_gets_fewer_points():
    fast, slow = crew(1, 10, seconds=1.0)
    run([fast, slow], range(500))
    assert len(fast.points) > 8 * len(slow.points) > 0


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_half_of_what_is_left_is_shared_by_those_that_may_work(num_workers):
    prover, retired = FakeLink("rank 1", seconds=1e-3), FakeLink("rank 9")
    prover.frames[1] = (50, prover.prepared())
    retired.say(RETIRED, b"3 failures")
    links = [prover, *crew(*[1] * (num_workers - 1), seconds=1e-3)]
    run([*links, retired], range(100))
    chunks = sorted(chunk for link in links for chunk in link.chunks)
    sizes = [len(points) for _, points in chunks]
    first = 2 * num_workers  # before any time is known
    assert sizes[:first] == [1] * first
    assert sizes[first] == -(-(100 - first) // (2 * num_workers))


def test_a_chunk_is_never_larger_than_a_message():
    links = crew(1, seconds=0.0)
    run(links, range(2000))
    assert max(len(points) for _, points in links[0].chunks) == MAX_CHUNK


def test_a_worker_is_ready_before_its_first_point():
    links = crew(1, 1)
    _, _, log = run(links, range(20))
    for number in (0, 1):
        mine = [event for event in log.events if event[1] == number]
        assert mine[0] == ("ready", number, REFERENCE)
        assert all(kind == "take" for kind, *_ in mine[1:])


def test_workers_that_start_late_are_not_waited_for():
    early, late = FakeLink("rank 1"), FakeLink("rank 2", start=3000)
    late.frames.popleft()
    late.frames.appendleft((1, hello()))
    _, is_complete, log = run([early, late], range(10))
    assert is_complete
    assert late.points == []
    assert {number for _, number, _ in log.events} == {0}


def test_nobody_computes_before_worker_0_has_proved_the_model():
    prover, other = FakeLink("rank 0"), FakeLink("rank 1")
    prover.frames[1] = (50, prover.prepared())
    _, is_complete, log = run([prover, other], range(20))
    assert is_complete
    assert log.events[:2] == [("ready", k, REFERENCE) for k in (0, 1)]
    assert other.points


def test_a_mistake_of_worker_0_ends_the_run_before_any_point():
    prover, other = FakeLink("rank 0"), FakeLink("rank 1")
    prover.frames[1] = (50, (MISTAKE, b"two different values"))
    log = Log()
    with pytest.raises(UserError, match="two different values"):
        run([prover, other], range(20), log=log)
    assert log.events == []
    assert other.points == []


def test_no_points_are_complete_at_once():
    links = crew(1)
    _, is_complete, log = run(links, [])
    assert is_complete
    assert links[0].points == []
    assert log.values == {}


# ---- the start ---------------------------------------------------------------------------------


def test_devices_are_returned_in_the_order_of_workers():
    links = [FakeLink("slow", start=5), FakeLink("fast")]
    devices = introductions(Master(links).members, never)
    assert [bytes(d["name"]) for d in devices] == [b"slow", b"fast"]


def test_a_stop_ends_the_wait_for_workers_that_do_not_start():
    silent = FakeLink("rank 2")
    silent.frames.clear()
    asked = iter([False, False, False, True])
    devices = introductions(Master([FakeLink("rank 1"), silent]).members, lambda: next(asked))
    assert [bytes(d["name"]) for d in devices] == [b"rank 1"]


def test_a_worker_that_does_not_start_is_named(clock):
    silent = FakeLink("rank 2")
    silent.frames.clear()
    clock.step = 200.0
    with pytest.raises(TimeoutError, match="rank 2 did not start"):
        introduced([FakeLink("rank 1"), silent], clock)


@pytest.mark.parametrize("place", [0, 1])
def test_a_users_mistake_is_raised_as_such_wherever_it_comes(place):
    link = FakeLink("rank 1")
    link.frames[place] = (1, (MISTAKE, b"no such file: x.pt"))
    with pytest.raises(UserError, match=r"^no such file: x\.pt$"):
        run([link], range(3))


def test_a_mistake_at_a_point_is_raised_as_such():
    link = FakeLink("rank 1")
    master = Master([link])
    introductions(master.members, never)
    log = Log()

    def take(delivery):
        log.take(delivery)
        link.say(MISTAKE, b"loss returned a list")

    with pytest.raises(UserError, match="loss returned a list"):
        master.run([Stage(np.arange(9), take)], log.ready, never)


def test_a_mistake_that_is_no_proper_text_can_be_shown():
    link = FakeLink("rank 1")
    link.frames[0] = (1, (MISTAKE, "µ".encode()[:1]))
    with pytest.raises(UserError):
        introductions(Master([link]).members, never)


def test_a_long_mistake_is_shown_whole():
    link, text = FakeLink("rank 1"), "µ" * 10**6 + "."
    link.frames[0] = (1, (MISTAKE, memoryview(text.encode())))
    with pytest.raises(UserError) as caught:
        introductions(Master([link]).members, never)
    assert str(caught.value) == text


def test_a_frame_out_of_turn_is_a_bug():
    link = FakeLink("rank 1")
    link.frames.reverse()
    with pytest.raises(RuntimeError, match="expected b'H'"):
        introductions(Master([link]).members, never)


# ---- wrong answers -----------------------------------------------------------------------------


@pytest.mark.parametrize("spoil", ["id", "index", "count"])
def test_an_answer_to_another_question_is_a_bug(spoil):
    class Confused(FakeLink):
        def reply(self, chunk):
            answers = answers_of(chunk, NUM_COLUMNS, 0.01)
            if spoil == "id":
                answers = Answers(answers.id + 1, answers.points, answers.payload)
            elif spoil == "index":
                answers.points["index"] += 1
            else:
                answers = Answers.join([answers, answers])
            return RESULT, answers.pack()

    log = Log()
    with pytest.raises(RuntimeError, match="worker 0 answered chunk"):
        run([Confused("rank 1")], range(3), log=log)
    assert log.values == {}


def test_an_error_while_storing_ends_the_run():
    master = Master(crew(1))
    introductions(master.members, never)

    def full(delivery):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        master.run([Stage(np.arange(5), full)], nobody, never)


# ---- the end -----------------------------------------------------------------------------------


def test_a_stop_ends_the_run_early():
    links = crew(1, 1)
    log = Log()
    _, is_complete, _ = run(links, range(500), stopping=lambda: len(log.values) > 20, log=log)
    assert not is_complete
    assert 20 < len(log.values) < 400


class Lingering(FakeLink):
    """A worker that answers what it has before it says goodbye."""

    is_asked_to_stop = False

    def send(self, kind, body=b""):
        assert not self.is_asked_to_stop
        super().send(kind, body)

    def stop(self):
        self.is_asked_to_stop = True

    def poll(self):
        if self.is_asked_to_stop and not self.flying:
            self.stopped = True
        return super().poll()


def test_results_on_their_way_are_taken_when_the_run_is_stopped():
    links = [Lingering("rank 1", cost=3), Lingering("rank 2", cost=5)]
    log = Log()
    master, _, _ = run(links, range(500), stopping=lambda: len(log.values) > 20, log=log)
    owed = sum(len(chunk.indices) for link in links for _, chunk in link.flying)
    before = len(log.values)
    master.stop()
    assert owed > 0
    assert len(log.values) == before + owed
    assert all(link.closed for link in links)


def test_a_crew_without_a_run_can_be_stopped():
    links = [Lingering("rank 1"), Lingering("rank 2")]
    introduced(links, Clock()).stop()
    assert all(link.stopped and link.closed for link in links)


def test_a_stop_does_not_wait_for_lost_workers(clock, caplog):
    links = crew(1, 1)
    master, _, _ = run(links, range(4), clock=clock)
    links[1].is_lost = True
    master.stop()
    assert [link.stopped for link in links] == [True, False]
    assert [link.closed for link in links] == [True, False]
    assert caplog.messages == []


class Deaf(FakeLink):
    """A worker that never ends."""

    def stop(self):
        self.is_silent = True


def test_a_worker_that_dies_while_it_is_stopped_is_not_waited_for(clock):
    class Dying(FakeLink):
        def stop(self):
            self.is_dead = True

    links = [Dying("rank 1"), FakeLink("rank 2")]
    master, _, _ = run(links, range(4), clock=clock)
    master.stop()
    assert [link.is_lost for link in links] == [True, False]
    assert [link.closed for link in links] == [False, True]


def test_workers_that_do_not_end_are_named_and_left(clock, caplog):
    links = [FakeLink("rank 1"), Deaf("rank 2"), Deaf("rank 3")]
    master, is_complete, _ = run(links, range(20), clock=clock)
    assert is_complete
    clock.step = STOP_DEADLINE_S / 10
    master.stop()
    assert [link.is_lost for link in links] == [False, True, True]
    assert links[0].closed
    assert [("rank 2" in m, "did not stop in 20 s" in m) for m in caplog.messages] == [
        (True, True),
        (False, True),
    ]


def test_a_late_answer_of_a_retired_worker_is_ignored_at_the_end():
    retired, other = Lingering("rank 1", cost=10**6), FakeLink("rank 2")
    retired.say(RETIRED, b"3 failures")
    master, is_complete, log = run([retired, other], range(20))
    (_, chunk) = retired.flying[0]
    retired.flying.clear()
    retired.say(*answer(chunk, NUM_COLUMNS, 0.1))
    before = dict(log.values)
    master.stop()
    assert is_complete
    assert retired.frames == deque()
    assert log.values == before


# ---- workers that go ---------------------------------------------------------------------------


def silence_after(link, log, num_points):
    """A `stopping` that never stops the run, but silences a worker."""

    def stopping():
        if len(log.values) >= num_points:
            link.is_silent = True
        return False

    return stopping


def test_the_points_of_a_silent_rank_go_to_others(clock, caplog):
    clock.step = 0.5
    lazy, other, log = FakeLink("rank 1", cost=10**6), FakeLink("rank 2", seconds=100.0), Log()
    stopping = silence_after(lazy, log, 10)
    _, is_complete, _ = run([lazy, other], range(60), stopping, log, clock)
    assert is_complete
    assert sorted(log.values) == list(range(60))
    assert set(lazy.points) < set(other.points)
    assert lazy.is_lost
    assert "rank 1 on node is silent for 60 s, its points go to others" in caplog.text
    assert clock.now >= SILENCE_S


def test_a_rank_that_only_beats_is_not_given_up(clock):
    clock.step = 1.0

    class Thinking(FakeLink):
        def poll(self):
            frame = super().poll()
            return (BEAT, b"") if frame is None and clock.now % BEAT_S == 0 else frame

    link = Thinking("rank 1", cost=200, seconds=200.0)
    _, is_complete, _ = run([link], range(3), clock=clock)
    assert clock.now > 5 * SILENCE_S
    assert is_complete
    assert not link.is_lost
    assert sorted(link.points) == [0, 1, 2]  # not copied, not given to anybody twice


def test_rank_0s_own_evaluator_may_be_silent(clock):
    clock.step = 1.0
    link = FakeLink("rank 0", cost=200, seconds=200.0)
    link.is_remote = False
    _, is_complete, _ = run([link], range(3), clock=clock)
    assert clock.now > 5 * SILENCE_S
    assert is_complete


def test_the_points_of_a_dead_rank_go_to_others_at_once(clock, caplog):
    dying, other, log = FakeLink("rank 1", cost=10**6), FakeLink("rank 2"), Log()

    def stopping():
        dying.is_dead = len(log.values) >= 10
        return False

    _, is_complete, _ = run([dying, other], range(60), stopping, log, clock)
    assert is_complete
    assert clock.now == 0.0
    assert sorted(log.values) == list(range(60))
    assert set(dying.points) < set(other.points)
    assert dying.is_lost
    assert "rank 1 on node: MPI_ERR_PROC_FAILED" in caplog.text
    assert "rank 1 on node is lost, its points go to others" in caplog.text


def test_a_death_that_a_heartbeat_finds_gives_the_points_back_too(clock):
    clock.step = 0.5

    class Gone(FakeLink):
        def send(self, kind, body=b""):
            if kind == BEAT:
                raise LinkLostError("MPI_ERR_PROC_FAILED")
            super().send(kind, body)

    gone, other = Gone("rank 1", cost=10**6), FakeLink("rank 2")
    _, is_complete, log = run([gone, other], range(30), clock=clock)
    assert is_complete
    assert sorted(log.values) == list(range(30))
    assert gone.is_lost


def test_a_retired_worker_is_named_and_gets_no_more_points(caplog):
    retired, other = FakeLink("rank 1", cost=10**6), FakeLink("rank 2")
    retired.say(RETIRED, b"3 failures, the last one: ECC")
    _, is_complete, log = run([retired, other], range(60))
    assert is_complete
    assert sorted(log.values) == list(range(60))
    assert len(retired.points) == 2
    assert set(retired.points) < set(other.points)
    assert not retired.is_lost
    assert "rank 1 on node: 3 failures, the last one: ECC" in caplog.text
    assert "rank 1 on node is retired, its points go to others" in caplog.text


def test_a_lost_worker_is_described_by_its_gpu(caplog):
    retired = FakeLink("rank 1")
    retired.frames[0] = (1, hello("H200", "GPU-1f0c", "n7"))
    retired.say(RETIRED, b"3 failures")
    run([retired], range(9))
    assert "rank 1 on n7, GPU GPU-1f0c is retired" in caplog.text


def test_a_failed_try_is_warned_of_and_the_run_goes_on(caplog):
    link = FakeLink("rank 1")
    link.troubles[3] = ["killed by signal 9"]
    _, is_complete, log = run([link], range(9), retries=2)
    assert is_complete
    assert sorted(log.values) == list(range(9))
    assert caplog.messages == [
        "warning: rank 1 on node: point 3, try 1: killed by signal 9; tried again"
    ]
    assert link.points[-1] == 3  # behind all that nobody has tried
    assert log.attempts == {3: 2}


def test_what_always_fails_is_given_up_after_its_retries_and_after_all_others(caplog):
    link = FakeLink("rank 1")
    for index in (0, 1, 2, 3, 4):
        link.troubles[index] = ["ZeroDivisionError: there"] * 9
    _, is_complete, log = run([link], range(35), retries=2)
    assert is_complete
    assert [p for p in link.points if p > 4] == list(range(5, 35))
    assert set(link.points[35:]) == {0, 1, 2, 3, 4}
    assert len(link.points) == 30 + 5 * 3
    assert log.failed == dict.fromkeys(range(5), 3)
    assert len(log.values) == 30
    assert sum("given up" in message for message in caplog.messages) == 5


def test_failures_at_all_points_of_many_are_not_all_listed(caplog):
    link = FakeLink("rank 1")
    link.troubles = {index: ["ValueError"] for index in range(1000)}
    _, _, log = run([link], range(1000))
    assert len(log.failed) == 1000
    assert len(caplog.messages) == MOST_LINES + 1


def test_what_has_failed_is_kept_as_such_when_the_last_worker_is_retired():
    link = FakeLink("rank 1", retires_after=3)
    for index in range(9):
        link.troubles[index] = ["killed by signal 9"] * 9
    master, is_complete, log = run([link], range(9), retries=2)
    assert not is_complete
    master.stop()
    assert set(log.failed) == {0, 1, 2}  # the next run begins with the six others
    assert log.values == {}


@pytest.mark.parametrize("how", ["dead", "retired", "silent"])
def test_a_run_without_workers_is_not_complete(clock, how):
    clock.step = 0.5
    links = crew(10**6, 10**6)
    for link in links:
        if how == "dead":
            link.poll = scripted(link.frames.popleft()[1], link.frames.popleft()[1])
        elif how == "retired":
            link.say(RETIRED, b"3 failures")
    _, is_complete, log = run(links, range(9), clock=clock)
    assert not is_complete
    assert log.values == {}


def scripted(*frames):
    """A poll that gives these frames and then finds the rank dead."""
    left = deque(frames)

    def poll():
        if not left:
            raise LinkLostError("MPI_ERR_PROC_FAILED")
        return left.popleft()

    return poll


def test_the_others_begin_when_worker_0_dies_before_it_has_proved_the_model(clock):
    prover, other = FakeLink("rank 1"), FakeLink("rank 2")
    prover.poll = scripted(prover.frames[0][1])
    _, is_complete, log = run([prover, other], range(9), clock=clock)
    assert is_complete
    assert {number for _, number, _ in log.events} == {1}


def test_a_failed_point_reaches_the_callback_as_such():
    class Failing(FakeLink):
        def reply(self, chunk):
            parts = [Answers.failed(chunk.id, i) for i in chunk.indices.tolist()]
            return RESULT, Answers.join(parts).pack()

    taken = []
    master = introduced([Failing("rank 1")], Clock())
    assert master.run([Stage(np.array([4, 2]), taken.extend)], nobody, never)
    points = np.concatenate([answers.points for _, answers in taken])
    assert points["index"].tolist() == [4, 2]
    assert points["status"].tolist() == [FAILED] * 2
    assert points["attempts"].tolist() == [1, 1]


# ---- heartbeats and second copies --------------------------------------------------------------


def test_workers_hear_from_the_master_every_few_seconds(clock):
    clock.step = 0.25
    links = crew(400)
    run(links, range(4), stopping=lambda: clock.now > 50, clock=clock)
    assert 50 / (BEAT_S + WATCH_S) <= links[0].num_beats <= 50 / BEAT_S + 1


def test_a_lost_worker_is_sent_nothing(clock):
    clock.step = 0.25
    lost, other = FakeLink("rank 1"), FakeLink("rank 2", cost=100, seconds=25.0)
    lost.poll = scripted(lost.frames.popleft()[1], lost.frames.popleft()[1])
    run([lost, other], range(3), clock=clock)
    assert lost.num_beats <= 1
    assert other.num_beats > 5
    assert sorted(other.points) == [0, 1, 2]


def test_heartbeats_of_workers_are_no_answers():
    link = FakeLink("rank 1")
    link.frames.appendleft((1, (BEAT, b"")))
    link.frames.insert(2, (1, (BEAT, b"")))
    link.say(BEAT)
    _, is_complete, log = run([link], range(9))
    assert is_complete
    assert sorted(log.values) == list(range(9))


def test_a_late_chunk_goes_to_an_idle_worker_too_and_its_first_answer_counts(clock):
    clock.step = 0.5
    slow, fast, log = FakeLink("rank 1", cost=80), FakeLink("rank 2"), Log()
    _, is_complete, _ = run([slow, fast], range(20), log=log, clock=clock)
    assert is_complete
    assert sorted(log.values) == list(range(20))
    assert set(slow.points) & set(fast.points)
    assert max(fast.points.count(p) for p in fast.points) == 1
    assert not slow.is_lost


def test_a_goodbye_during_a_run_is_a_bug():
    link = FakeLink("rank 1")
    link.say(BYE)
    with pytest.raises(RuntimeError, match="a worker sent frame b'B'"):
        run([link], range(9))


# ---- what one decides for all ------------------------------------------------------------------


def decided(text=b"{}"):
    return DECISION, text


def test_the_decision_of_worker_0_is_given_to_all():
    links = [FakeLink("rank 1"), FakeLink("rank 2")]
    for link in links:
        link.frames = deque([(1, (WAITING, b""))])
    links[0].frames = deque([(1, (NOTE, b"probing")), (3, decided(b"{7}"))])
    assert decision(Master(links).members, never) == b"{7}"
    assert [link.blocks for link in links] == [[(DECISION, b"{7}")]] * 2


def test_notes_of_the_tuning_are_logged(caplog):
    caplog.set_level("INFO")
    link = FakeLink("rank 1")
    link.frames = deque([(1, (NOTE, b"probing bfloat16")), (1, decided())])
    decision(Master([link]).members, never)
    assert "probing bfloat16" in caplog.text


def test_a_mistake_that_any_worker_finds_ends_the_tuning():
    links = [FakeLink("rank 1"), FakeLink("rank 2")]
    links[0].frames = deque()
    links[1].frames = deque([(1, (MISTAKE, b"no such data"))])
    with pytest.raises(UserError, match="no such data"):
        decision(Master(links).members, never)


def test_workers_hear_of_the_master_while_one_of_them_tunes():
    clock, link = Clock(), FakeLink("rank 1")
    link.frames = deque([(4, decided())])

    def tick():
        clock.now += BEAT_S
        return clock.now

    decision(Master([link]).members, never, tick)
    assert link.num_beats >= 1


def test_a_run_may_be_stopped_while_a_worker_tunes():
    link = FakeLink("rank 1")
    link.frames = deque()
    asked = iter([False, False, True])
    assert decision(Master([link]).members, lambda: next(asked)) is None


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_nobody_waits_for_the_decision_of_a_worker_that_gave_up(when):
    links = [FakeLink("rank 1"), FakeLink("rank 2")]
    master = introduced(links, Clock())
    for link in links:
        link.frames.clear()
    if when == "before":
        master.members[0].gone = "retired"
    else:
        links[0].say(RETIRED, b"3 failures")
    with pytest.raises(UserError, match=r"rank 1 on node.*(is retired|3 failures).*; run again"):
        decision(master.members, never)


def test_a_failure_before_the_decision_is_warned_of(caplog):
    link = FakeLink("rank 1")
    link.frames = deque([(1, failure(3, "died")), (1, decided())])
    assert decision(Master([link]).members, never) == b"{}"
    assert "rank 1: point 3: died" in caplog.text
