from collections import deque

import numpy as np
import pytest
from fake_world import answer, hello, value_at

from losscape_mpi import wire
from losscape_mpi.errors import UserError
from losscape_mpi.farm import master as master_module
from losscape_mpi.farm.links import LinkLostError
from losscape_mpi.farm.master import STOP_DEADLINE_S, WATCH_S, Master
from losscape_mpi.farm.messages import BEAT, BEAT_S, BYE, SILENCE_S
from losscape_mpi.farm.opening import final_choices, introductions

NUM_COLUMNS = 2


def never():
    return False


class FakeLink:
    """A worker that answers a chunk after `cost` polls for each of its points."""

    def __init__(self, name, cost=1, seconds=0.01, start=1):
        self.name, self.closed = name, False
        self.is_remote, self.stopped, self.is_lost = True, False, False
        self.cost, self.seconds = cost, seconds
        self.frames = deque([(start, hello(name)), (start, self.center())])
        self.chunks, self.flying, self.most_flying = [], deque(), 0
        self.later = []
        self.width, self.num_beats, self.is_silent, self.is_dead = None, 0, False, False

    def center(self):
        return wire.READY, np.full(NUM_COLUMNS + 3, 7.0).tobytes()  # remote records are wider

    def say(self, kind, body=b""):
        self.frames.append((1, (kind, body)))

    def poll(self):
        if self.is_dead:
            raise LinkLostError("MPI_ERR_PROC_FAILED")
        if self.is_silent:
            return None
        if self.frames:
            left, frame = self.frames[0]
            if left > 1:
                self.frames[0] = (left - 1, frame)
                return None
            self.frames.popleft()
            return frame
        if self.stopped or not self.flying:
            return None
        left, record = self.flying[0]
        self.flying[0] = (left - 1, record)
        if left > 1:
            return None
        self.flying.popleft()
        return answer(record, NUM_COLUMNS, self.seconds)

    def expect_results(self, num_columns):
        self.width = num_columns

    def send_chunk(self, record):
        assert self.width == NUM_COLUMNS
        count = int(record["count"][0])
        self.chunks.append((int(record["id"][0]), record["points"][0, :count].tolist()))
        self.flying.append((self.cost * count, record.copy()))
        self.most_flying = max(self.most_flying, len(self.flying))

    def send_later(self, kind, body):
        self.later.append((kind, body))

    def beat(self):
        self.num_beats += 1

    def stop(self):
        self.stopped = True

    def close(self):
        self.closed = True

    @property
    def points(self):
        return [p for _, chunk in self.chunks for p in chunk]


class Clock:
    """The master's time; every sleep of the master lets `step` seconds pass."""

    def __init__(self, step=0.0):
        self.now, self.step = 0.0, step

    def __call__(self):
        return self.now

    def pass_time(self):
        self.now += self.step


class Log:
    """The callbacks of a run."""

    def __init__(self):
        self.events, self.values = [], {}

    def ready(self, number, center, seconds):
        assert seconds == 7.0
        self.events.append(("ready", number, center.tolist()))

    def take(self, workers, done):
        for number in dict.fromkeys(workers.tolist()):
            mine = done[workers == number]
            for point in mine:
                assert int(point["index"]) not in self.values
                self.values[int(point["index"])] = point["values"].tolist()
            self.events.append(("take", number, mine["index"].tolist()))


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The clock of every master of the test, who never really sleeps."""
    clock = Clock()
    monkeypatch.setattr(master_module.Backoff, "rest", lambda self, busy: clock.pass_time())
    return clock


def introduced(links, clock):
    master = Master(links, clock)
    introductions(master.desks, never, clock)
    return master


def run(links, points, stopping=lambda: False, log=None, clock=None):
    log = log or Log()
    master = introduced(links, clock or Clock())
    is_complete = master.run(np.asarray(points), NUM_COLUMNS, log.ready, log.take, stopping)
    return master, is_complete, log


def crew(*costs, **options):
    return [FakeLink(f"rank {k}", cost, **options) for k, cost in enumerate(costs, start=1)]


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

    def take(workers, done):
        calls.append(workers.tolist())
        assert len(workers) == len(done)

    introduced(links, Clock()).run(np.arange(3), NUM_COLUMNS, lambda *_: None, take, never)
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
    prover.frames[1] = (50, prover.center())
    retired.say(wire.RETIRED, b"3 failures")
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
    assert max(len(points) for _, points in links[0].chunks) == wire.MAX_CHUNK


def test_a_worker_is_ready_before_its_first_point():
    links = crew(1, 1)
    _, _, log = run(links, range(20))
    for number in (0, 1):
        mine = [event for event in log.events if event[1] == number]
        assert mine[0] == ("ready", number, [7.0] * NUM_COLUMNS)
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
    prover.frames[1] = (50, prover.center())
    _, is_complete, log = run([prover, other], range(20))
    assert is_complete
    assert log.events[:2] == [("ready", k, [7.0] * NUM_COLUMNS) for k in (0, 1)]
    assert other.points


def test_a_mistake_of_worker_0_ends_the_run_before_any_point():
    prover, other = FakeLink("rank 0"), FakeLink("rank 1")
    prover.frames[1] = (50, (wire.MISTAKE, b"two different values"))
    log = Log()
    with pytest.raises(UserError, match="two different values"):
        run([prover, other], range(20), log=log)
    assert log.events == []
    assert other.points == []


def test_no_points_are_complete_at_once():
    links = crew(1)
    _, is_complete, log = run(links, [])
    assert is_complete
    assert log.events == []


# ---- the start ---------------------------------------------------------------------------------


def test_devices_are_returned_in_the_order_of_workers():
    links = [FakeLink("slow", start=5), FakeLink("fast")]
    devices = introductions(Master(links).desks, never)
    assert [bytes(d["name"]) for d in devices] == [b"slow", b"fast"]


def test_a_stop_ends_the_wait_for_workers_that_do_not_start():
    silent = FakeLink("rank 2")
    silent.frames.clear()
    asked = iter([False, False, False, True])
    devices = introductions(Master([FakeLink("rank 1"), silent]).desks, lambda: next(asked))
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
    link.frames[place] = (1, (wire.MISTAKE, b"no such file: x.pt"))
    with pytest.raises(UserError, match=r"^no such file: x\.pt$"):
        run([link], range(3))


def test_a_mistake_at_a_point_is_raised_as_such():
    link = FakeLink("rank 1")
    master = Master([link])
    introductions(master.desks, never)
    log = Log()

    def take(number, done):
        log.take(number, done)
        link.frames.append((1, (wire.MISTAKE, b"loss returned a list")))

    with pytest.raises(UserError, match="loss returned a list"):
        master.run(np.arange(9), NUM_COLUMNS, log.ready, take, lambda: False)


def test_a_mistake_cut_in_the_middle_of_a_letter_can_be_shown():
    link = FakeLink("rank 1")
    link.frames[0] = (1, (wire.MISTAKE, "µ".encode()[:1]))
    with pytest.raises(UserError):
        introductions(Master([link]).desks, never)


def test_a_frame_out_of_turn_is_a_bug():
    link = FakeLink("rank 1")
    link.frames.reverse()
    with pytest.raises(RuntimeError, match="expected b'H'"):
        introductions(Master([link]).desks, never)


# ---- wrong answers -----------------------------------------------------------------------------


@pytest.mark.parametrize("spoil", ["id", "index", "count"])
def test_an_answer_to_another_question_is_a_bug(spoil):
    class Confused(FakeLink):
        def poll(self):
            frame = super().poll()
            if frame is None or frame[0] != wire.RESULT:
                return frame
            record = np.frombuffer(frame[1], wire.result_record(NUM_COLUMNS)).copy()
            if spoil == "index":
                record["points"]["index"][0, 0] += 1
            else:
                record[spoil] += 1
            return wire.RESULT, record.tobytes()

    log = Log()
    with pytest.raises(RuntimeError, match="worker 0 answered chunk"):
        run([Confused("rank 1")], range(3), log=log)
    assert log.values == {}


def test_an_error_while_storing_ends_the_run():
    master = Master(crew(1))
    introductions(master.desks, never)

    def full(number, done):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        master.run(np.arange(5), NUM_COLUMNS, lambda *_: None, full, lambda: False)


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

    def send_chunk(self, record):
        assert not self.is_asked_to_stop
        super().send_chunk(record)

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
    owed = sum(int(r["count"][0]) for link in links for _, r in link.flying)
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
    retired.say(wire.RETIRED, b"3 failures")
    master, is_complete, log = run([retired, other], range(20))
    (_, record) = retired.flying[0]
    retired.flying.clear()
    retired.frames.append((1, answer(record, NUM_COLUMNS, 0.1)))
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
        def beat(self):
            raise LinkLostError("MPI_ERR_PROC_FAILED")

    gone, other = Gone("rank 1", cost=10**6), FakeLink("rank 2")
    _, is_complete, log = run([gone, other], range(30), clock=clock)
    assert is_complete
    assert sorted(log.values) == list(range(30))
    assert gone.is_lost


def test_a_retired_worker_is_named_and_gets_no_more_points(caplog):
    retired, other = FakeLink("rank 1", cost=10**6), FakeLink("rank 2")
    retired.say(wire.RETIRED, b"3 failures, the last one: ECC")
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
    retired.say(wire.RETIRED, b"3 failures")
    run([retired], range(9))
    assert "rank 1 on n7, GPU GPU-1f0c is retired" in caplog.text


def test_a_failed_try_is_warned_of_and_the_run_goes_on(caplog):
    link = FakeLink("rank 1")
    link.say(wire.FAILURE, b"point 3, try 1: killed by signal 9; tried again")
    _, is_complete, _ = run([link], range(9))
    assert is_complete
    assert caplog.messages == [
        "warning: rank 1 on node: point 3, try 1: killed by signal 9; tried again"
    ]


@pytest.mark.parametrize("how", ["dead", "retired", "silent"])
def test_a_run_without_workers_is_not_complete(clock, how):
    clock.step = 0.5
    links = crew(10**6, 10**6)
    for link in links:
        if how == "dead":
            link.poll = scripted(link.frames.popleft()[1], link.frames.popleft()[1])
        elif how == "retired":
            link.say(wire.RETIRED, b"3 failures")
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


def choices_frame(text=b"{}"):
    return wire.CHOICES, text


def test_the_choices_of_worker_0_are_given_to_all():
    links = [FakeLink("rank 1"), FakeLink("rank 2")]
    for link in links:
        link.frames = deque([(1, (wire.WAITING, b""))])
    links[0].frames = deque([(1, (wire.NOTE, b"probing")), (3, choices_frame(b"{7}"))])
    assert final_choices(Master(links).desks, never) == b"{7}"
    assert [link.later for link in links] == [[(wire.CHOICES, b"{7}")]] * 2


def test_notes_of_the_tuning_are_logged(caplog):
    caplog.set_level("INFO")
    link = FakeLink("rank 1")
    link.frames = deque([(1, (wire.NOTE, b"probing bfloat16")), (1, choices_frame())])
    final_choices(Master([link]).desks, never)
    assert "probing bfloat16" in caplog.text


def test_a_mistake_that_any_worker_finds_ends_the_tuning():
    links = [FakeLink("rank 1"), FakeLink("rank 2")]
    links[0].frames = deque()
    links[1].frames = deque([(1, (wire.MISTAKE, b"no such data"))])
    with pytest.raises(UserError, match="no such data"):
        final_choices(Master(links).desks, never)


def test_workers_hear_of_the_master_while_one_of_them_tunes():
    clock, link = Clock(), FakeLink("rank 1")
    link.frames = deque([(4, choices_frame())])

    def tick():
        clock.now += BEAT_S
        return clock.now

    final_choices(Master([link]).desks, never, tick)
    assert link.num_beats >= 1


def test_a_run_may_be_stopped_while_a_worker_tunes():
    link = FakeLink("rank 1")
    link.frames = deque()
    asked = iter([False, False, True])
    assert final_choices(Master([link]).desks, lambda: next(asked)) is None


def test_points_that_become_possible_are_computed_after_all_others():
    links, log = [FakeLink("rank 1"), FakeLink("rank 2", cost=3)], Log()
    master = Master(links)
    introductions(master.desks, never)
    calls = []

    def then():
        assert sorted(log.values) == [0, 1, 2, 3]
        calls.append(1)
        return (wire.ANCHORS, b"values"), np.array([9, 8, 7])

    points = np.arange(4)
    assert master.run(points, NUM_COLUMNS, log.ready, log.take, never, then)
    assert sorted(log.values) == [0, 1, 2, 3, 7, 8, 9]
    assert calls == [1]
    for link in links:
        assert link.later == [(wire.ANCHORS, b"values")]


def test_there_may_be_nothing_to_compute_after_the_first_points():
    link, log = FakeLink("rank 1"), Log()
    master = Master([link])
    introductions(master.desks, never)
    assert master.run(np.arange(2), NUM_COLUMNS, log.ready, log.take, never, lambda: None)
    assert sorted(log.values) == [0, 1]
    assert link.later == []
