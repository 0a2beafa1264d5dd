import hashlib
import os
import threading
import time

import numpy as np
import pytest

from losscape_mpi.point import frames
from losscape_mpi.point.frames import (
    CHUNK,
    HEADER,
    JOB,
    MISTAKE,
    POINT,
    RESULT,
    VECTOR,
    FrameReader,
    FrameWriter,
    PipeClosedError,
    header_of,
    read_frame,
    read_header,
    write_frame,
)

LIMIT_S = 30
BLOCK_BYTES = 8 << 20  # several times what a pipe holds


@pytest.fixture
def pipe():
    reads, writes = os.pipe()
    ends = {"reads": reads, "writes": writes}
    yield ends
    for descriptor in ends.values():
        if descriptor >= 0:
            os.close(descriptor)


@pytest.fixture
def two_pipes():
    """Two ways between two sides: each is (what it reads from, what it writes to)."""
    left_reads, right_writes = os.pipe()
    right_reads, left_writes = os.pipe()
    yield (left_reads, left_writes), (right_reads, right_writes)
    for descriptor in (left_reads, right_writes, right_reads, left_writes):
        os.close(descriptor)


def close(ends, name):
    os.close(ends[name])
    ends[name] = -1


def frame_bytes(kind, body):
    """The bytes of a frame: kind, length as 8 little-endian bytes, body."""
    return kind + len(body).to_bytes(8, "little") + body


def random_bytes(size, seed=0):
    return np.random.default_rng(seed).bytes(size)


def sha256(body):
    return hashlib.sha256(body).hexdigest()


def test_a_frame_is_kind_length_and_body(pipe):
    write_frame(pipe["writes"], CHUNK, b"abc")
    assert os.read(pipe["reads"], 100) == b"C\x03\0\0\0\0\0\0\0abc"


@pytest.mark.parametrize("size", [0, 255, 2**40])
def test_a_header_says_kind_and_size_of_what_follows(size):
    header = header_of(POINT, size)
    assert header == b"P" + size.to_bytes(8, "little")
    assert len(header) == HEADER.itemsize
    assert read_header(header + b"more") == (POINT, size)


def test_no_two_kinds_of_frames_share_a_letter():
    kinds = [v for v in vars(frames).values() if isinstance(v, bytes)]
    assert len(kinds) == len(set(kinds)) > 15
    assert {len(kind) for kind in kinds} == {1}


@pytest.mark.parametrize("body", [b"", b"\0\0", b"x" * 3_000_000])
def test_a_frame_arrives_whole_whatever_a_pipe_holds(pipe, body):
    writing = threading.Thread(target=write_frame, args=(pipe["writes"], JOB, body))
    writing.start()
    assert read_frame(pipe["reads"]) == (JOB, body)
    writing.join()


def test_a_record_can_be_sent_as_its_memory(pipe):
    record = np.array([(4, 2.5)], dtype=[("index", "<i4"), ("value", "<f8")])
    write_frame(pipe["writes"], CHUNK, record.view("u1").data)
    FrameWriter(pipe["writes"]).send(CHUNK, record.view("u1").data)
    assert [read_frame(pipe["reads"]) for _ in range(2)] == [(CHUNK, record.tobytes())] * 2


@pytest.mark.parametrize("sent", [b"", b"C\x05", frame_bytes(b"C", b"abcde")[:-1]])
def test_a_closed_pipe_is_an_end_of_file(pipe, sent):
    os.write(pipe["writes"], sent)
    close(pipe, "writes")
    with pytest.raises(EOFError):
        read_frame(pipe["reads"])


# ---- without blocking --------------------------------------------------------------------------


def test_a_reader_never_blocks(pipe):
    reader = FrameReader(pipe["reads"])
    assert reader.poll() is None


def test_a_reader_collects_a_frame_from_single_bytes(pipe):
    reader = FrameReader(pipe["reads"])
    content = frame_bytes(b"S", b"result")
    for k in range(len(content) - 1):
        os.write(pipe["writes"], content[k : k + 1])
        assert reader.poll() is None
    os.write(pipe["writes"], content[-1:])
    assert reader.poll() == (RESULT, b"result")


def test_a_reader_takes_several_frames_of_one_read_apart(pipe):
    reader = FrameReader(pipe["reads"])
    sent = [(b"H", b"hello"), (b"R", b""), (b"S", b"12")]
    os.write(pipe["writes"], b"".join(frame_bytes(*f) for f in sent) + frame_bytes(b"S", b"34")[:4])
    assert [reader.poll() for _ in range(4)] == [*sent, None]
    os.write(pipe["writes"], frame_bytes(b"S", b"34")[4:])
    assert reader.poll() == (b"S", b"34")


def test_a_reader_gives_whole_frames_before_it_reports_the_end(pipe):
    reader = FrameReader(pipe["reads"])
    os.write(pipe["writes"], frame_bytes(b"M", b"mistake") + b"S\x07")
    close(pipe, "writes")
    assert reader.poll() == (MISTAKE, b"mistake")
    with pytest.raises(EOFError):
        reader.poll()


def test_a_writer_never_blocks_and_what_does_not_fit_follows_in_order(pipe):
    writer, reader = FrameWriter(pipe["writes"]), FrameReader(pipe["reads"])
    sent = [(JOB, random_bytes(BLOCK_BYTES)), (CHUNK, b"small"), (VECTOR, b"")]
    for frame in sent:
        writer.send(*frame)
    assert writer.is_busy
    found = []
    while len(found) < len(sent):
        frame = reader.poll()
        if frame is None:
            writer.pump()
        else:
            found.append(frame)
    assert found == sent
    assert not writer.is_busy


def test_a_writer_knows_whether_anything_has_left(pipe):
    writer = FrameWriter(pipe["writes"])
    writer.send(JOB, bytes(BLOCK_BYTES))
    assert not writer.pump()  # the pipe is full
    os.read(pipe["reads"], 1 << 20)
    assert writer.pump()
    assert not writer.pump()


def test_a_writer_into_nothing_says_so(pipe):
    writer = FrameWriter(pipe["writes"])
    close(pipe, "reads")
    with pytest.raises(PipeClosedError):
        writer.send(JOB, b"job")
    with pytest.raises(PipeClosedError):
        write_frame(pipe["writes"], JOB, b"job")


def test_two_sides_may_write_large_blocks_to_each_other_at_the_same_time(two_pipes):
    blocks, found = [random_bytes(BLOCK_BYTES, seed) for seed in (1, 2)], {}

    def side(number):
        reads, writes = two_pipes[number]
        reader, writer = FrameReader(reads), FrameWriter(writes)
        writer.send(VECTOR, blocks[number])
        deadline = time.monotonic() + LIMIT_S
        while (number not in found or writer.is_busy) and time.monotonic() < deadline:
            frame = reader.poll()
            if frame is not None:
                found[number] = frame
            if not writer.pump():
                time.sleep(1e-4)

    threads = [threading.Thread(target=side, args=(k,), daemon=True) for k in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LIMIT_S)
    assert {k: (kind, sha256(body)) for k, (kind, body) in found.items()} == {
        0: (VECTOR, sha256(blocks[1])),
        1: (VECTOR, sha256(blocks[0])),
    }
