"""Links, waiting and workers over a communicator whose ranks are threads."""

import threading

import numpy as np
import pytest
from fake_links import nobody
from fake_world import FakeEvaluator, FakeWorld, Request, answer, chunk_body, hello, value_at

from losscape_mpi.errors import UserError
from losscape_mpi.farm import links as links_module
from losscape_mpi.farm.channel import FRAME_TAG, PIECE_TAG, Channel
from losscape_mpi.farm.links import LinkLostError, LocalLink, RemoteLink
from losscape_mpi.farm.master import Master
from losscape_mpi.farm.stage import Stage
from losscape_mpi.farm.start import introductions
from losscape_mpi.farm.waiting import Backoff, broadcast, exchange, wait_for
from losscape_mpi.farm.worker import serve_master
from losscape_mpi.point.frames import (
    BEAT,
    BYE,
    CHUNK,
    JOB,
    MISTAKE,
    PAUSE,
    READY,
    RESULT,
    STOP,
    VECTOR,
)
from losscape_mpi.point.records import Chunk, pack_ready, unpack_ready

LIMIT_S = 30
NUM_COLUMNS = 2


@pytest.fixture
def pair():
    """A link of rank 0 to rank 1, and rank 1's end of it."""
    world = FakeWorld(2)
    return RemoteLink(world.rank(0), 1), Channel(world.rank(1), 0)


def never():
    return False


def hear(end):
    """The next frame that is more than a heartbeat for a piece of it, or None."""
    while (frame := end.poll()) is not None and frame[0] == BEAT:
        pass
    return None if frame is None else (frame[0], bytes(frame[1]))


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


# ---- links -------------------------------------------------------------------------------------


def test_a_silent_worker_has_no_frame(pair):
    link, _ = pair
    assert link.poll() is None
    assert (link.name, link.stopped) == ("rank 1", False)


def test_an_introduction_arrives_as_it_was_said(pair):
    link, worker = pair
    kind, body = hello("NVIDIA H200", "GPU-1f0c", "node7")
    worker.send(kind, body)
    assert link.poll() == (kind, body)
    assert link.poll() is None


@pytest.mark.parametrize("width", [0, 4, 5000])
def test_a_reference_row_of_any_width_arrives_with_its_bits(pair, width):
    link, worker = pair
    row = np.resize(np.array([1.5, np.nan, -0.0, np.inf]), width)
    worker.send(READY, pack_ready(0.5, row))
    kind, body = hear(link)
    assert kind == READY
    assert unpack_ready(body)[1].tobytes() == row.tobytes()


def test_a_long_mistake_arrives_whole_like_a_short_one(pair):
    link, worker = pair
    texts = [b"no such file", b"x" * 1_000_000]
    for text in texts:
        worker.send(MISTAKE, text)
    assert [hear(link) for _ in texts] == [(MISTAKE, text) for text in texts]


def test_goodbye_ends_a_link(pair):
    link, worker = pair
    worker.send(BYE)
    link.poll()
    assert link.stopped
    assert link.poll() is None


def test_results_come_in_order_and_before_a_goodbye(pair):
    link, worker = pair
    frames = [answer(Chunk(k, np.array([k, k + 1])), NUM_COLUMNS, 0.1) for k in range(3)]
    frames.append((RESULT, bytes(1_000_000)))
    for frame in frames:
        worker.send(*frame)
    worker.send(BYE)
    assert [hear(link) for _ in frames] == frames
    assert not link.stopped
    link.poll()
    assert link.stopped


def test_everything_for_a_worker_arrives_in_order_and_the_stop_last(pair):
    link, worker = pair
    sent = [(JOB, bytes(500_000)), (CHUNK, chunk_body(5, 9, 8, 7)), (VECTOR, b"v"), (PAUSE, b"")]
    for frame in sent:
        link.send(*frame)
    link.stop()
    assert [hear(worker) for _ in range(5)] == [*sent, (STOP, b"")]
    assert not link.stopped  # not before the worker has said so


def test_a_heartbeat_is_a_frame_of_its_own(pair):
    link, worker = pair
    link.send(BEAT)
    assert worker.poll() == (BEAT, b"")
    assert worker.poll() is None


def test_closing_cancels_what_will_never_come(pair):
    link, _ = pair
    closing = threading.Thread(target=link.close, daemon=True)
    closing.start()
    closing.join(LIMIT_S)
    assert not closing.is_alive()


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
    link._channel._request = Request(failing(mpi_error))
    with pytest.raises(LinkLostError, match="MPI_ERR_PROC_FAILED"):
        link.poll()


def test_a_piece_from_a_dead_rank_says_so(pair, mpi_error):
    link, worker = pair
    worker.send(RESULT, bytes(100_000))
    link._channel._comm.Irecv = lambda buffer, source, tag: Request(failing(mpi_error))
    link.poll()  # the announcement
    with pytest.raises(LinkLostError, match="MPI_ERR_PROC_FAILED"):
        link.poll()


@pytest.mark.parametrize("size", [10, 100_000])
def test_sends_to_a_dead_rank_are_left_to_the_receives_to_notice(pair, mpi_error, size):
    link, _ = pair
    link._channel._comm.Isend = failing(mpi_error)
    link.send(VECTOR, bytes(size))
    link.send(BEAT)
    link.stop()
    assert link.poll() is None


def test_a_send_that_never_arrives_at_a_dead_rank_says_so(pair, mpi_error):
    link, _ = pair
    link._channel._comm.Isend = lambda data, dest, tag: Request(failing(mpi_error))
    link.send(CHUNK, chunk_body(5, 9))
    with pytest.raises(LinkLostError):
        link.poll()
    with pytest.raises(LinkLostError):
        link.close()


def test_a_link_to_rank_0s_own_evaluator_passes_everything_on():
    evaluator = FakeEvaluator(NUM_COLUMNS)
    link = LocalLink(evaluator)
    assert link.poll() == hello()
    link.send(JOB, b"job")
    assert [link.poll()[0] for _ in range(2)] == [JOB, READY]
    link.send(VECTOR, b"block")
    link.send(CHUNK, chunk_body(0, 4))
    assert link.poll()[0] == RESULT
    link.stop()
    link.close()
    assert (evaluator.jobs, evaluator.chunks, evaluator.is_stopped) == ([b"job"], [[4]], True)
    assert evaluator.blocks == [(VECTOR, b"block")]
    assert link.stopped
    assert link.poll() is None


def test_rank_0s_own_evaluator_needs_no_signs_of_life():
    evaluator = FakeEvaluator(NUM_COLUMNS)
    link = LocalLink(evaluator)
    link.send(BEAT)
    link.send(PAUSE)
    assert evaluator.blocks == []


# ---- waiting and collectives -------------------------------------------------------------------


def test_waiting_sleeps_longer_and_longer_up_to_a_limit(monkeypatch):
    naps = []
    monkeypatch.setattr("losscape_mpi.farm.waiting.time.sleep", naps.append)
    backoff = Backoff(2e-3)
    for busy in (False,) * 8 + (True, False):
        backoff.rest(busy)
    assert naps[:3] == [50e-6, 100e-6, 200e-6]
    assert naps[6:8] == [2e-3, 2e-3]
    assert naps[8] == 50e-6
    assert len(naps) == 9


def test_waiting_looks_after_other_things(monkeypatch):
    monkeypatch.setattr("losscape_mpi.farm.waiting.time.sleep", lambda _s: None)
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
    monkeypatch.setattr("losscape_mpi.farm.waiting.BROADCAST_BYTES", 100)
    world, found = FakeWorld(3), []
    threads, errors = in_threads(world, lambda comm: found.append(broadcast(comm, None)))
    assert broadcast(world.rank(0), block) == block
    join(threads, errors)
    assert found == [block, block]


# ---- master, links and workers together --------------------------------------------------------


def test_two_workers_and_the_master_compute_every_point_of_two_jobs():
    world, values = FakeWorld(3), {}
    evaluators = {k: FakeEvaluator(NUM_COLUMNS, f"CPU {k}", seconds=0.0) for k in range(3)}
    threads, errors = in_threads(
        world, lambda comm: serve_master(comm, evaluators[comm.Get_rank()])
    )
    comm = world.rank(0)
    master = Master([LocalLink(evaluators[0]), RemoteLink(comm, 1), RemoteLink(comm, 2)])
    references, blocks = [], [bytes([k]) * 100_000 for k in range(2)]

    def take(delivery):
        for _, answers in delivery:
            values.update(zip(answers.points["index"].tolist(), answers.rows(2), strict=True))

    def ready(number, reference, _seconds):
        references.append((number, reference.tolist()))

    names = [bytes(d["name"]).decode() for d in introductions(master.members, never)]
    for job, block in zip((b"one", b"two"), blocks, strict=True):
        values.clear()
        master.begin(job)
        stages = [Stage(np.arange(1000), take), Stage(np.arange(1000, 2000), take, (VECTOR, block))]
        assert master.run(stages, ready, never)
        found = {index: row.tolist() for index, row in values.items()}
        assert found == {k: [value_at(k, 0), value_at(k, 1)] for k in range(2000)}
    master.stop()
    join(threads, errors)
    assert names == ["CPU 0", "CPU 1", "CPU 2"]
    assert {tuple(reference) for _, reference in references} == {(0.0, 1.0)}
    assert [number for number, _ in references].count(0) == 2
    for evaluator in evaluators.values():
        assert evaluator.jobs == [b"one", b"two"]
        assert evaluator.blocks == [(VECTOR, block) for block in blocks]
        assert evaluator.is_stopped
    assert not any(box for key, box in world.boxes.items() if key[2] in (FRAME_TAG, PIECE_TAG))


def test_workers_go_home_when_there_is_no_job():
    world, evaluator = FakeWorld(2), FakeEvaluator()
    threads, errors = in_threads(world, lambda comm: serve_master(comm, evaluator))
    master = Master([RemoteLink(world.rank(0), 1)])
    introductions(master.members, never)
    master.stop()
    join(threads, errors)
    assert evaluator.is_stopped
    assert evaluator.jobs == []


def test_a_workers_mistake_reaches_the_master_and_the_worker_can_still_be_stopped():
    text = b"another center " * 10_000
    world, evaluator = FakeWorld(2), FakeEvaluator(mistake=text)
    threads, errors = in_threads(world, lambda comm: serve_master(comm, evaluator))
    master = Master([RemoteLink(world.rank(0), 1)])
    introductions(master.members, never)
    master.begin(b"job")
    with pytest.raises(UserError) as caught:
        master.run([Stage(np.arange(3), nobody)], nobody, never)
    master.stop()
    join(threads, errors)
    assert str(caught.value) == text.decode()
    assert evaluator.is_stopped


def test_an_evaluator_that_dies_takes_its_worker_with_it():
    class Dying(FakeEvaluator):
        def send(self, kind, body=b""):
            raise RuntimeError("evaluator process 7 ended")

    world, evaluator = FakeWorld(2), Dying()
    threads, errors = in_threads(world, lambda comm: serve_master(comm, evaluator))
    link = RemoteLink(world.rank(0), 1)
    link.send(JOB, b"job")
    threads[0].join(LIMIT_S)
    assert [str(e) for e in errors] == ["evaluator process 7 ended"]
    assert evaluator.is_stopped
