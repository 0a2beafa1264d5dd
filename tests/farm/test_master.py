from collections import deque

import numpy as np
import pytest
from fake_world import answer, hello, value_at

from losscape_mpi import wire
from losscape_mpi.errors import UserError
from losscape_mpi.farm import master as master_module
from losscape_mpi.farm.master import ChunkSize, Master

NUM_COLUMNS = 2


class FakeLink:
    """A worker that answers a chunk after `cost` polls for each of its points."""

    def __init__(self, name, cost=1, seconds=0.01, start=1):
        self.name, self.stopped, self.closed = name, False, False
        self.cost, self.seconds = cost, seconds
        self.frames = deque([(start, hello(name)), (start, self.center())])
        self.chunks, self.flying, self.most_flying = [], deque(), 0
        self.width, self.late = None, deque()

    def center(self):
        return wire.READY, np.full(NUM_COLUMNS + 3, 7.0).tobytes()  # remote records are wider

    def poll(self):
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

    def stop(self):
        self.stopped = True

    def close(self):
        self.closed = True

    @property
    def points(self):
        return [p for _, chunk in self.chunks for p in chunk]


class Log:
    """The callbacks of a run."""

    def __init__(self):
        self.events, self.values = [], {}

    def ready(self, number, center):
        self.events.append(("ready", number, center.tolist()))

    def take(self, number, done):
        for point in done:
            assert int(point["index"]) not in self.values
            self.values[int(point["index"])] = point["values"].tolist()
        self.events.append(("take", number, done["index"].tolist()))


@pytest.fixture(autouse=True)
def _no_sleep(monkeypatch):
    monkeypatch.setattr(master_module.Backoff, "rest", lambda self, busy: None)


def run(links, points, stopping=lambda: False, log=None):
    log = log or Log()
    master = Master(links)
    master.introductions()
    is_complete = master.run(np.asarray(points), NUM_COLUMNS, log.ready, log.take, stopping)
    return master, is_complete, log


def crew(*costs, **options):
    return [FakeLink(f"rank {k}", cost, **options) for k, cost in enumerate(costs, start=1)]


# ---- chunk size --------------------------------------------------------------------------------


def test_the_first_chunks_hold_one_point():
    assert ChunkSize().choose(1000, 2) == 1


@pytest.mark.parametrize(
    ("point_s", "left", "workers", "size"),
    [
        (0.02, 10_000, 2, 50),  # a second of work
        (0.3, 10_000, 2, 3),
        (5.0, 10_000, 2, 1),
        (0.02, 40, 2, 10),  # half of what is left, shared
        (0.02, 41, 2, 11),
        (0.02, 1, 4, 1),
        (1e-4, 10_000_000, 2, wire.MAX_CHUNK),
        (0.0, 10_000_000, 2, wire.MAX_CHUNK),
        (0.02, 10_000, 0, 50),
    ],
)
def test_a_chunk_is_a_second_of_work_bounded_by_what_is_left(point_s, left, workers, size):
    chunk_size = ChunkSize()
    chunk_size.note(np.full(4, point_s))
    assert chunk_size.choose(left, workers) == size


def test_chunks_follow_a_change_of_speed():
    chunk_size = ChunkSize()
    chunk_size.note(np.full(5, 0.01))
    fast = chunk_size.choose(10_000, 1)
    chunk_size.note(np.full(30, 0.5))
    assert fast == 100
    assert chunk_size.choose(10_000, 1) in (1, 2)


# ---- scheduling --------------------------------------------------------------------------------


@pytest.mark.parametrize("costs", [(1,), (1, 1), (1, 3, 7)])
def test_every_point_is_computed_once_and_taken_as_answered(costs):
    links = crew(*costs)
    _, is_complete, log = run(links, range(200))
    assert is_complete
    assert sorted(p for link in links for p in link.points) == list(range(200))
    assert log.values == {k: [value_at(k, 0), value_at(k, 1)] for k in range(200)}


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
    devices = Master(links).introductions()
    assert [bytes(d["name"]) for d in devices] == [b"slow", b"fast"]


def test_a_worker_that_stays_silent_is_named():
    silent = FakeLink("rank 2")
    silent.frames.clear()
    clock = iter(range(0, 10_000, 400))
    with pytest.raises(TimeoutError, match="rank 2 did not start"):
        Master([FakeLink("rank 1"), silent]).introductions(lambda: next(clock))


@pytest.mark.parametrize("place", [0, 1])
def test_a_users_mistake_is_raised_as_such_wherever_it_comes(place):
    link = FakeLink("rank 1")
    link.frames[place] = (1, (wire.MISTAKE, b"no such file: x.pt"))
    with pytest.raises(UserError, match=r"^no such file: x\.pt$"):
        run([link], range(3))


def test_a_mistake_at_a_point_is_raised_as_such():
    link = FakeLink("rank 1")
    master = Master([link])
    master.introductions()
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
        Master([link]).introductions()


def test_a_frame_out_of_turn_is_a_bug():
    link = FakeLink("rank 1")
    link.frames.reverse()
    with pytest.raises(RuntimeError, match="expected b'H'"):
        Master([link]).introductions()


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
    with pytest.raises(RuntimeError, match="rank 1 answered chunk"):
        run([Confused("rank 1")], range(3), log=log)
    assert log.values == {}


def test_an_error_while_storing_ends_the_run():
    master = Master(crew(1))
    master.introductions()

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
    owed = sum(len(points) for desk in master.desks for _, points in desk.flying)
    before = len(log.values)
    master.stop(NUM_COLUMNS, log.take)
    assert owed > 0
    assert len(log.values) == before + owed
    assert all(link.closed for link in links)


def test_results_are_dropped_when_nobody_wants_them():
    links = [Lingering("rank 1", cost=3)]
    log = Log()
    master, _, _ = run(links, range(50), stopping=lambda: len(log.values) > 5, log=log)
    before = dict(log.values)
    master.stop(NUM_COLUMNS, None)
    assert log.values == before
    assert links[0].closed


def test_a_worker_that_does_not_end_is_named(monkeypatch):
    class Deaf(FakeLink):
        def stop(self):
            pass

    monkeypatch.setattr(master_module, "STOP_DEADLINE_S", 0.0)
    master, _, log = run([FakeLink("rank 1"), Deaf("rank 2")], range(4))
    with pytest.raises(TimeoutError, match="rank 2 did not stop"):
        master.stop(NUM_COLUMNS, log.take)
