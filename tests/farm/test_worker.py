"""A worker on a clock that jumps: its signs of life, and what it makes of the master's."""

import signal

import pytest
from fake_world import FakeEvaluator, FakeWorld, chunk_body

from losscape_mpi.farm import worker as worker_module
from losscape_mpi.farm.channel import BEAT_S, FRAME_TAG, PIECE_TAG, SILENCE_S, Channel
from losscape_mpi.farm.links import RemoteLink
from losscape_mpi.farm.worker import Porter
from losscape_mpi.point.frames import BEAT, BYE, CHUNK, JOB, PAUSE, RESULT, VECTOR, read_header

NUM_COLUMNS = 2
A_JOB = (JOB, b"job")


class Time:
    """Time as a worker knows it: every sleep is half a second long; then the master acts."""

    def __init__(self):
        self.now, self.plan, self.every_beat = 0.0, {}, None

    def monotonic(self):
        return self.now

    def sleep(self, _seconds):
        self.now += 0.5
        if self.every_beat is not None and self.now % BEAT_S == 0:
            self.every_beat()
        for action in self.plan.pop(self.now, ()):
            action()


class Killed(BaseException):
    pass


class Bench:
    """A worker, the master's link to it, and what the master does at which time."""

    def __init__(self, monkeypatch, evaluator):
        self.time, self.world, self.signals = Time(), FakeWorld(2), []
        monkeypatch.setattr(worker_module, "time", self.time)
        monkeypatch.setattr("losscape_mpi.farm.waiting.time", self.time)
        monkeypatch.setattr(worker_module.os, "kill", self.kill)
        self.evaluator = evaluator
        self.link = RemoteLink(self.world.rank(0), 1)
        self.worker = Porter(Channel(self.world.rank(1), 0), evaluator)

    def kill(self, _pid, number):
        self.signals.append(number)
        raise Killed

    def at(self, when, *frame):
        """Let the master send a frame, or say stop, at a time."""
        action = (lambda: self.link.send(*frame)) if frame else self.link.stop
        self.time.plan.setdefault(float(when), []).append(action)

    def run(self):
        """Run until the worker ends; returns whether it killed itself, and when."""
        try:
            self.worker.run()
        except Killed:
            return True, self.time.now
        return False, self.time.now

    def said(self):
        """The kinds of all frames that the worker has sent."""
        return [read_header(message)[0] for message in self.world.boxes[1, 0, FRAME_TAG]]


@pytest.fixture
def bench(monkeypatch):
    return Bench(monkeypatch, FakeEvaluator(NUM_COLUMNS))


def test_a_worker_whose_master_is_silent_beats_for_a_minute_and_kills_itself(bench):
    bench.link.send(*A_JOB)
    is_killed, ended = bench.run()
    assert is_killed
    assert bench.signals == [signal.SIGKILL]
    assert bench.evaluator.is_stopped
    assert SILENCE_S < ended < SILENCE_S + 1
    assert SILENCE_S / (BEAT_S + 1) <= bench.said().count(BEAT) <= SILENCE_S / BEAT_S


def test_before_its_first_job_a_worker_waits_for_as_long_as_it_takes(bench):
    bench.at(10 * SILENCE_S, *A_JOB)
    is_killed, ended = bench.run()
    assert is_killed
    assert 11 * SILENCE_S < ended < 11 * SILENCE_S + 1.5
    assert bench.evaluator.jobs == [b"job"]
    assert bench.said().count(BEAT) > 10 * SILENCE_S / (BEAT_S + 1)  # it is heard of all the time


def test_a_heartbeat_before_the_first_job_promises_no_further_ones(bench):
    bench.link.send(BEAT)
    bench.at(3 * SILENCE_S)
    assert bench.run()[0] is False


def test_a_master_that_only_beats_keeps_its_workers(bench):
    bench.link.send(*A_JOB)
    bench.time.every_beat = lambda: bench.link.send(BEAT)
    bench.at(5 * SILENCE_S)
    assert bench.run()[0] is False
    assert bench.evaluator.chunks == []
    assert not bench.world.boxes[0, 1, FRAME_TAG]
    assert bench.said()[-1] == BYE


def test_in_a_pause_a_worker_waits_for_as_long_as_it_takes(bench):
    bench.link.send(*A_JOB)
    bench.at(10, PAUSE)
    bench.at(10 * SILENCE_S)
    assert bench.run()[0] is False
    assert bench.evaluator.blocks == []  # a pause is nothing for the process


@pytest.mark.parametrize(
    "frame",
    [(JOB, b"next"), (CHUNK, chunk_body(0, 3)), (VECTOR, b"v")],
    ids=["job", "chunk", "block"],
)
def test_after_a_pause_the_next_frame_ends_it(bench, frame):
    bench.link.send(*A_JOB)
    bench.at(10, PAUSE)
    bench.at(5 * SILENCE_S, *frame)
    is_killed, ended = bench.run()
    assert is_killed
    assert 6 * SILENCE_S < ended < 6 * SILENCE_S + 1.5


def test_a_heartbeat_in_a_pause_does_not_end_it(bench):
    bench.link.send(*A_JOB)
    bench.at(10, PAUSE)
    bench.at(20, BEAT)
    bench.at(5 * SILENCE_S)
    assert bench.run()[0] is False


def test_the_pieces_of_a_large_frame_are_signs_of_life(bench, monkeypatch):
    monkeypatch.setattr("losscape_mpi.farm.channel.PIECE_BYTES", 10_000)
    bench.link.send(*A_JOB)
    pieces = bench.world.boxes[0, 1, PIECE_TAG]

    def hold():
        """Let the pieces of the block come one by one, each after most of a minute."""
        held = list(pieces)
        pieces.clear()
        for k, piece in enumerate(held, start=1):
            when = 10 + (SILENCE_S - 5) * k
            bench.time.plan[when] = [lambda piece=piece: pieces.append(piece)]

    bench.time.plan[10.0] = [lambda: bench.link.send(VECTOR, bytes(50_000)), hold]
    bench.at(10 + SILENCE_S * 5)
    assert bench.run()[0] is False
    assert bench.evaluator.blocks == [(VECTOR, bytes(50_000))]


def test_frames_are_carried_both_ways_and_the_stop_ends_the_process_first(bench):
    bench.link.send(*A_JOB)
    bench.link.send(VECTOR, b"block")
    bench.link.send(CHUNK, chunk_body(0, 3, 4))
    bench.at(3)
    assert bench.run()[0] is False
    assert bench.evaluator.jobs == [b"job"]
    assert bench.evaluator.blocks == [(VECTOR, b"block")]
    assert bench.evaluator.chunks == [[3, 4]]
    said = bench.said()
    assert RESULT in said
    assert said[-1] == BYE
    assert bench.evaluator.is_stopped


def test_a_worker_does_not_rest_while_a_large_block_moves_to_its_process(monkeypatch):
    class Slow(FakeEvaluator):
        """Takes 100 polls to take a block."""

        left = 100

        @property
        def is_sending(self):
            self.left -= 1
            return self.left > 0

    bench = Bench(monkeypatch, Slow(NUM_COLUMNS))
    bench.at(3)
    bench.run()
    assert bench.evaluator.left <= 0
    assert bench.time.now < 5  # a nap for each of 100 polls would be 50 s
