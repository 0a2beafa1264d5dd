"""Channels between two ranks that are threads of one process, or none at all."""

import threading
import time

import numpy as np
import pytest
from fake_world import FakeWorld, Request

from losscape_mpi.farm import channel as channel_module
from losscape_mpi.farm.channel import FRAME_TAG, PIECE_TAG, SMALL_BYTES, Channel
from losscape_mpi.point.frames import BEAT, CHUNK, HEADER, JOB, RESULT, VECTOR

LIMIT_S = 30
SMALL, PIECE = 64, 100  # bytes, in these tests
FITS = SMALL - HEADER.itemsize  # the largest body that goes in one message
SIZES = [0, 1, FITS - 1, FITS, FITS + 1, SMALL, PIECE - 1, PIECE, PIECE + 1]
SIZES += [2 * PIECE - 1, 2 * PIECE, 2 * PIECE + 1, 7 * PIECE + 3]


@pytest.fixture
def short(monkeypatch):
    """Frames are large, and pieces full, after a few bytes."""
    monkeypatch.setattr(channel_module, "SMALL_BYTES", SMALL)
    monkeypatch.setattr(channel_module, "PIECE_BYTES", PIECE)


@pytest.fixture
def ends(short):
    world = FakeWorld(2)
    return Channel(world.rank(0), 1), Channel(world.rank(1), 0)


def body_of(size, seed=0):
    return np.random.default_rng(seed).bytes(size)


def pieces_of(size):
    return -(-size // PIECE) if size > FITS else 0


def hear_all(channel):
    """Everything that has come, with the heartbeats for pieces."""
    found = []
    while (frame := channel.poll()) is not None:
        found.append((frame[0], bytes(frame[1])))
    return found


def hear(channel):
    return [frame for frame in hear_all(channel) if frame[0] != BEAT]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sender", [0, 1])
def test_a_frame_of_any_size_arrives_with_its_bytes(ends, size, sender):
    body = body_of(size)
    ends[sender].send(RESULT, body)
    assert hear(ends[1 - sender]) == [(RESULT, body)]
    assert hear_all(ends[1 - sender]) == []


@pytest.mark.parametrize("size", SIZES)
def test_each_piece_of_a_large_frame_is_a_sign_of_life(ends, size):
    ends[0].send(RESULT, body_of(size))
    assert [kind for kind, _ in hear_all(ends[1])] == [BEAT] * pieces_of(size) + [RESULT]


def test_frames_of_all_sizes_keep_their_order_both_ways(ends):
    orders = [np.random.default_rng(seed).permutation(SIZES * 3).tolist() for seed in (0, 1)]
    sent = [[(CHUNK, body_of(size, k)) for k, size in enumerate(order)] for order in orders]
    for pair in zip(*sent, strict=True):
        for end, frame in zip(ends, pair, strict=True):
            end.send(*frame)
    assert hear(ends[1]) == sent[0]
    assert hear(ends[0]) == sent[1]


def test_small_frames_stay_behind_a_large_one_and_large_ones_behind_each_other(ends):
    sent = [(JOB, body_of(950)), (CHUNK, b"1"), (BEAT, b""), (VECTOR, body_of(450, 1))]
    sent += [(VECTOR, body_of(350, 2)), (CHUNK, b"2"), (CHUNK, b"")]
    for frame in sent:
        ends[0].send(*frame)
    heard = hear_all(ends[1])
    assert [frame for frame in heard if frame[0] != BEAT] == [f for f in sent if f[0] != BEAT]
    assert len([kind for kind, _ in heard if kind == BEAT]) == 1 + sum(
        map(pieces_of, (950, 450, 350))
    )


@pytest.mark.parametrize("size", [5, 350])
def test_a_body_may_be_a_view_of_something_larger(ends, size):
    record = np.arange(400, dtype="u1")
    ends[0].send(VECTOR, record[20 : 20 + size].data)
    assert hear(ends[1]) == [(VECTOR, record[20 : 20 + size].tobytes())]


def test_a_body_that_arrived_is_not_overwritten_by_the_next_one(ends):
    for k in range(2):
        ends[0].send(CHUNK, bytes([k]) * FITS)
        ends[0].send(VECTOR, bytes([k]) * 350)
    bodies = []
    while (frame := ends[1].poll()) is not None:
        if frame[0] != BEAT:
            bodies.append(frame[1])
    assert [set(bytes(body)) for body in bodies] == [{0}, {0}, {1}, {1}]


def test_a_piece_that_is_late_blocks_nothing(short):
    world = FakeWorld(2)
    sender, receiver = Channel(world.rank(0), 1), Channel(world.rank(1), 0)
    body = body_of(250)
    sender.send(VECTOR, body)
    held = [world.boxes[0, 1, PIECE_TAG].pop() for _ in range(2)]
    assert [kind for kind, _ in hear_all(receiver)] == [BEAT, BEAT]  # announced; one piece
    receiver.send(CHUNK, b"meanwhile")
    assert hear(sender) == [(CHUNK, b"meanwhile")]
    world.boxes[0, 1, PIECE_TAG].extend(reversed(held))
    assert hear(receiver) == [(VECTOR, body)]


@pytest.mark.parametrize("size", [0, 5, 350])
def test_what_was_sent_is_kept_until_it_has_left(ends, size):
    left, sent = [], []

    def send(data, dest, tag):
        sent.append(data)
        return Request(lambda: bool(left))

    ends[0]._comm.Isend = send
    ends[0].send(VECTOR, body_of(size))
    ends[0].poll()
    assert ends[0].is_sending
    assert [buffer for _, buffer in ends[0]._sends] == sent
    left.append(True)
    ends[0].poll()
    assert not ends[0].is_sending


def is_over_soon(action):
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    return not thread.is_alive()


def test_closing_cancels_what_will_never_come(ends):
    assert is_over_soon(ends[0].close)


def test_closing_in_the_middle_of_a_large_frame_cancels_its_rest(short):
    world = FakeWorld(2)
    sender, receiver = Channel(world.rank(0), 1), Channel(world.rank(1), 0)
    sender.send(VECTOR, body_of(350))
    world.boxes[0, 1, PIECE_TAG].pop()  # never sent
    hear_all(receiver)
    assert is_over_soon(receiver.close)
    assert receiver._large.request.Test()  # it waits for no message any more


def test_flushing_waits_until_everything_has_left(ends, monkeypatch):
    looks = []

    def has_left():
        looks.append(1)
        return len(looks) > 3

    ends[0]._comm.Isend = lambda data, dest, tag: Request(has_left)
    ends[0].send(CHUNK, b"1")
    ends[0].flush()
    assert len(looks) > 3


def test_a_chunk_and_its_answers_go_in_one_message_each():
    world = FakeWorld(2)
    channel = Channel(world.rank(0), 1)
    channel.send(RESULT, bytes(SMALL_BYTES - HEADER.itemsize))
    assert len(world.boxes[0, 1, FRAME_TAG]) == 1
    assert len(world.boxes[0, 1, PIECE_TAG]) == 0


def test_two_ranks_send_large_frames_to_each_other_at_the_same_time(ends):
    sent, found = [body_of(200_000, seed) for seed in (0, 1)], {}

    def side(number):
        ends[number].send(VECTOR, sent[number])
        deadline = time.monotonic() + LIMIT_S
        while number not in found and time.monotonic() < deadline:
            frame = ends[number].poll()
            if frame is not None and frame[0] == VECTOR:
                found[number] = bytes(frame[1])

    threads = [threading.Thread(target=side, args=(k,), daemon=True) for k in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert found == {0: sent[1], 1: sent[0]}
