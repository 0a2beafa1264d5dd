"""Links, messages and workers over a communicator whose ranks are threads."""

import signal
import threading

import numpy as np
import pytest
from fake_world import FakeEvaluator, FakeWorld, Request, answer, hello, value_at
from losscape_mpi.farm.messages import (
    BEAT,
    BEAT_COUNT,
    BEAT_S,
    BYE,
    CONTROL,
    CONTROL_RECORD,
    MAX_COLUMNS,
    PARCEL_COUNT,
    RESULT,
    SILENCE_S,
    STOP_COUNT,
    TEXT_BYTES,
    WORK,
    Backoff,
    Parcel,
    broadcast,
    exchange,
    wait_for,
)
from losscape_mpi.farm.opening import introductions

from losscape_mpi import wire
from losscape_mpi.errors import UserError
from losscape_mpi.farm import links as links_module
from losscape_mpi.farm import worker as worker_module
from losscape_mpi.farm.links import LinkLostError, LocalLink, RemoteLink
from losscape_mpi.farm.master import Master
from losscape_mpi.farm.worker import control_record, serve_master

LIMIT_S = 30
NUM_COLUMNS = 2


@pytest.fixture
def pair():
    """A link of rank 0 to rank 1, and rank 1's communicator."""
    world = FakeWorld(2)
    return RemoteLink(world.rank(0), 1), world.rank(1)


def never():
    return False


def tell(comm, kind, body):
    comm.Isend(control_record(kind, body).view("u1"), dest=0, tag=CONTROL)


def in_threads(world, target):
    """Start target(comm) for all ranks but 0; returns the threads and their errors."""
    errors = []

    def guarded(comm):
        try:
            target(comm)
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=guarded, args=(world.rank(k),), daemon=True)
        for k in range(1, world.size)
    ]
    for thread in threads:
        thread.start()
    return threads, errors


def join(threads, errors):
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    assert errors == []


# ---- records -----------------------------------------------------------------------------------


def test_a_silent_worker_has_no_frame(pair):
    link, _ = pair
    assert link.poll() is None
    assert (link.name, link.stopped) == ("rank 1", False)


def test_an_introduction_arrives_as_it_was_said(pair):
    link, worker = pair
    kind, body = hello("NVIDIA H200", "GPU-1f0c", "node7")
    tell(worker, kind, body)
    assert link.poll() == (kind, body)
    assert link.poll() is None


def test_a_center_arrives_with_its_bits(pair):
    link, worker = pair
    center = np.array([1.5, np.nan, -0.0, np.inf])
    tell(worker, wire.READY, center.tobytes())
    kind, body = link.poll()
    assert kind == wire.READY
    assert body[: center.nbytes] == center.tobytes()
    assert len(body) == 8 * (MAX_COLUMNS + 1)


def test_a_long_mistake_is_cut_and_a_short_one_is_not(pair):
    link, worker = pair
    tell(worker, wire.MISTAKE, b"no such file")
    tell(worker, wire.MISTAKE, b"x" * (2 * TEXT_BYTES))
    assert link.poll() == (wire.MISTAKE, b"no such file")
    assert link.poll() == (wire.MISTAKE, b"x" * TEXT_BYTES)


def test_goodbye_ends_a_link(pair):
    link, worker = pair
    tell(worker, BYE, b"")
    link.poll()
    assert link.stopped
    assert link.poll() is None


def test_control_records_of_all_kinds_have_one_size():
    for kind, body in (hello(), (wire.READY, b"\0" * 16), (wire.MISTAKE, b"x"), (BYE, b"")):
        assert control_record(kind, body).nbytes == CONTROL_RECORD.itemsize


def test_results_come_in_order_and_before_a_goodbye(pair):
    link, worker = pair
    link.expect_results(NUM_COLUMNS)
    frames = [answer(wire.chunk_of(k, np.array([k, k + 1])), NUM_COLUMNS, 0.1) for k in range(3)]
    for _, body in frames:
        worker.Isend(np.frombuffer(body, "u1"), dest=0, tag=RESULT)
    tell(worker, BYE, b"")
    assert [link.poll() for _ in range(3)] == frames
    assert not link.stopped
    link.poll()
    assert link.stopped


def test_chunks_and_the_stop_arrive_as_work(pair):
    link, worker = pair
    link.send_chunk(wire.chunk_of(5, np.array([9, 8, 7])))
    link.stop()
    record = np.zeros(1, dtype=wire.CHUNK_RECORD)
    assert worker.Irecv(record.view("u1"), source=0, tag=WORK).Test()
    assert (record["id"][0], record["count"][0]) == (5, 3)
    assert record["points"][0, :3].tolist() == [9, 8, 7]
    assert worker.Irecv(record.view("u1"), source=0, tag=WORK).Test()
    assert record["count"][0] == STOP_COUNT
    assert not link.stopped  # not before the worker has said so


def test_a_sent_chunk_is_kept_until_it_has_left(pair):
    link, _ = pair
    left = []
    link._comm.Isend = lambda data, dest, tag: Request(lambda: bool(left))
    link.send_chunk(wire.chunk_of(0, np.array([1])))
    link.poll()
    assert len(link._sends) == 1
    left.append(True)
    link.poll()
    assert link._sends == []


def test_closing_cancels_what_will_never_come(pair):
    link, _ = pair
    link.expect_results(NUM_COLUMNS)
    closing = threading.Thread(target=link.close, daemon=True)
    closing.start()
    closing.join(LIMIT_S)
    assert not closing.is_alive()


def test_heartbeats_arrive_as_work_that_asks_for_nothing(pair):
    link, worker = pair
    link.beat()
    record = np.zeros(1, dtype=wire.CHUNK_RECORD)
    assert worker.Irecv(record.view("u1"), source=0, tag=WORK).Test()
    assert record["count"][0] == BEAT_COUNT


@pytest.fixture
def mpi_error(monkeypatch):
    """What a fault-tolerant MPI raises for a dead rank, as far as links know."""

    class MpiError(Exception):
        pass

    monkeypatch.setattr(links_module, "mpi_errors", lambda: (MpiError,))
    return MpiError("MPI_ERR_PROC_FAILED")


def failing(error):
    def fail(*_args, **_kwargs):
        raise error

    return fail


def test_a_receive_from_a_dead_rank_says_so(pair, mpi_error):
    link, _ = pair
    link._comm.Irecv = lambda buffer, source, tag: Request(failing(mpi_error))
    link.expect_results(NUM_COLUMNS)
    with pytest.raises(LinkLostError, match="MPI_ERR_PROC_FAILED"):
        link.poll()


def test_sends_to_a_dead_rank_are_left_to_the_receives_to_notice(pair, mpi_error):
    link, _ = pair
    link._comm.Isend = failing(mpi_error)
    link.send_chunk(wire.chunk_of(5, np.array([9])))
    link.beat()
    link.stop()
    assert link.poll() is None


def test_a_send_that_never_arrives_at_a_dead_rank_says_so(pair, mpi_error):
    link, _ = pair
    link._comm.Isend = lambda data, dest, tag: Request(failing(mpi_error))
    link.send_chunk(wire.chunk_of(5, np.array([9])))
    with pytest.raises(LinkLostError):
        link.poll()
    with pytest.raises(LinkLostError):
        link.close()


def test_a_link_to_rank_0s_own_evaluator_passes_everything_on():
    evaluator = FakeEvaluator(NUM_COLUMNS)
    link = LocalLink(evaluator)
    assert link.poll()[0] == wire.HELLO
    link.send_job(b"job")
    link.expect_results(NUM_COLUMNS)
    assert link.poll()[0] == wire.READY
    link.send_chunk(wire.chunk_of(0, np.array([4])))
    assert link.poll()[0] == wire.RESULT
    link.stop()
    link.close()
    assert (evaluator.job, evaluator.chunks, evaluator.is_stopped) == (b"job", [[4]], True)
    assert link.stopped
    assert link.poll() is None


# ---- waiting and collectives -------------------------------------------------------------------


def test_waiting_sleeps_longer_and_longer_up_to_a_limit(monkeypatch):
    naps = []
    monkeypatch.setattr("losscape_mpi.farm.messages.time.sleep", naps.append)
    backoff = Backoff(2e-3)
    for busy in (False,) * 8 + (True, False):
        backoff.rest(busy)
    assert naps[:3] == [50e-6, 100e-6, 200e-6]
    assert naps[6:8] == [2e-3, 2e-3]
    assert naps[8] == 50e-6
    assert len(naps) == 9


def test_waiting_looks_after_other_things(monkeypatch):
    monkeypatch.setattr("losscape_mpi.farm.messages.time.sleep", lambda _s: None)
    seen = []
    wait_for([Request(lambda: len(seen) >= 3)], lambda: seen.append(1))
    assert len(seen) == 3


def test_every_rank_gets_every_record():
    world, found = FakeWorld(3), {}

    def gather(comm):
        record = np.array([(comm.Get_rank(), b"node")], dtype=[("rank", "i4"), ("host", "S8")])
        found[comm.Get_rank()] = exchange(comm, record)["rank"].tolist()

    threads, errors = in_threads(world, gather)
    gather(world.rank(0))
    join(threads, errors)
    assert found == {0: [0, 1, 2], 1: [0, 1, 2], 2: [0, 1, 2]}


@pytest.mark.parametrize("block", [b"", b"x", bytes(range(256)) * 5, None])
def test_every_rank_gets_the_block(monkeypatch, block):
    monkeypatch.setattr("losscape_mpi.farm.messages.BROADCAST_BYTES", 100)
    world, found = FakeWorld(3), []
    threads, errors = in_threads(world, lambda comm: found.append(broadcast(comm, None)))
    assert broadcast(world.rank(0), block) == block
    join(threads, errors)
    assert found == [block, block]


# ---- master, links and workers together --------------------------------------------------------


def test_two_workers_and_the_master_compute_every_point():
    world, values = FakeWorld(3), {}
    evaluators = {k: FakeEvaluator(NUM_COLUMNS, f"CPU {k}", seconds=0.0) for k in range(3)}
    threads, errors = in_threads(
        world, lambda comm: serve_master(comm, evaluators[comm.Get_rank()])
    )
    comm = world.rank(0)
    links = [LocalLink(evaluators[0]), RemoteLink(comm, 1), RemoteLink(comm, 2)]
    master, centers = Master(links), {}

    def take(number, done):
        values.update({int(p["index"]): p["values"].tolist() for p in done})

    names = [bytes(d["name"]).decode() for d in introductions(master.desks, never)]
    for link in links:
        link.send_job(b"the job")
    broadcast(comm, b"the job")
    is_complete = master.run(
        np.arange(2000),
        NUM_COLUMNS,
        lambda number, center, _s: centers.update({number: center}),
        take,
        stopping=lambda: False,
    )
    master.stop()
    join(threads, errors)
    assert is_complete
    assert names == ["CPU 0", "CPU 1", "CPU 2"]
    assert values == {k: [value_at(k, 0), value_at(k, 1)] for k in range(2000)}
    assert all(center.tolist() == [0.0, 1.0] for center in centers.values())
    assert all(e.job == b"the job" and e.is_stopped for e in evaluators.values())
    assert not any(box for key, box in world.boxes.items() if key[2] in (WORK, RESULT, CONTROL))


def test_workers_go_home_when_there_is_no_job():
    world, evaluator = FakeWorld(2), FakeEvaluator()
    threads, errors = in_threads(world, lambda comm: serve_master(comm, evaluator))
    introductions(Master([RemoteLink(world.rank(0), 1)]).desks, never)
    broadcast(world.rank(0), None)
    join(threads, errors)
    assert evaluator.is_stopped
    assert evaluator.job is None


def test_a_workers_mistake_reaches_the_master_and_the_worker_can_still_be_stopped():
    world, evaluator = FakeWorld(2), FakeEvaluator(mistake=b"another center")
    threads, errors = in_threads(world, lambda comm: serve_master(comm, evaluator))
    master = Master([RemoteLink(world.rank(0), 1)])
    introductions(master.desks, never)
    broadcast(world.rank(0), b"job")
    with pytest.raises(UserError, match="another center"):
        master.run(np.arange(3), NUM_COLUMNS, lambda *_: None, lambda *_: None, lambda: False)
    master.stop()
    join(threads, errors)
    assert evaluator.is_stopped


def test_an_evaluator_that_dies_takes_its_worker_with_it():
    class Dying(FakeEvaluator):
        def send_chunk(self, record):
            raise RuntimeError("evaluator process 7 ended")

    world, evaluator = FakeWorld(2), Dying()
    threads, errors = in_threads(world, lambda comm: serve_master(comm, evaluator))
    link = RemoteLink(world.rank(0), 1)
    broadcast(world.rank(0), b"job")
    link.send_chunk(wire.chunk_of(0, np.array([1])))
    threads[0].join(LIMIT_S)
    assert [str(e) for e in errors] == ["evaluator process 7 ended"]
    assert evaluator.is_stopped


# ---- heartbeats of a worker --------------------------------------------------------------------


class Time:
    """Time as a worker knows it: every sleep is `step` seconds long."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def monotonic(self):
        return self.now

    def sleep(self, _seconds):
        self.now += self.step


class Killed(BaseException):
    pass


@pytest.fixture
def killed(monkeypatch):
    """Signals that a worker sends to itself; the first one ends it."""
    signals = []

    def kill(_pid, number):
        signals.append(number)
        raise Killed

    monkeypatch.setattr(worker_module.os, "kill", kill)
    return signals


def beats_of(world):
    kinds = [np.frombuffer(b, CONTROL_RECORD)["kind"][0] for b in world.boxes[1, 0, CONTROL]]
    return kinds.count(BEAT)


def shuttle(monkeypatch, world, evaluator, step):
    time = Time(step)
    monkeypatch.setattr(worker_module, "time", time)
    monkeypatch.setattr("losscape_mpi.farm.messages.time", time)
    return worker_module._Shuttle(world.rank(1), evaluator), time


def test_a_worker_whose_master_is_silent_beats_for_a_minute_and_kills_itself(monkeypatch, killed):
    world, evaluator = FakeWorld(2), FakeEvaluator(NUM_COLUMNS)
    worker, time = shuttle(monkeypatch, world, evaluator, step=0.5)
    with pytest.raises(Killed):
        worker.run()
    assert killed == [signal.SIGKILL]
    assert evaluator.is_stopped
    assert SILENCE_S < time.now < SILENCE_S + 1
    assert SILENCE_S / (BEAT_S + 1) <= beats_of(world) <= SILENCE_S / BEAT_S


def test_a_master_that_only_beats_keeps_its_workers(monkeypatch, killed):
    world = FakeWorld(2)
    worker, time = shuttle(monkeypatch, world, FakeEvaluator(NUM_COLUMNS), step=0.5)
    link, sleep = RemoteLink(world.rank(0), 1), time.sleep

    def sleep_and_beat(seconds):
        sleep(seconds)
        if time.now % BEAT_S == 0:
            link.beat()
        if time.now == 5 * SILENCE_S:
            link.stop()

    time.sleep = sleep_and_beat
    worker.run()
    assert killed == []
    assert worker._evaluator.chunks == []
    assert not world.boxes[0, 1, WORK]


@pytest.mark.parametrize("size", [0, 1, 512, 513, 5000])
def test_a_parcel_arrives_as_one_frame_between_beats_and_chunks(size):
    body = np.random.default_rng(size).integers(256, size=size, dtype="u1").tobytes()
    parcel, found = Parcel(), []
    for record in Parcel.wrap(wire.ANCHORS, body) + Parcel.wrap(wire.CHOICES, b"{}"):
        assert record["count"][0] == PARCEL_COUNT
        if (frame := parcel.take(record)) is not None:
            found.append(frame)
    assert found == [(wire.ANCHORS, body), (wire.CHOICES, b"{}")]
