import os
import threading

import numpy as np
import pytest

from losscape_mpi import wire


@pytest.fixture
def pipe():
    reads, writes = os.pipe()
    ends = {"reads": reads, "writes": writes}
    yield ends
    for descriptor in ends.values():
        if descriptor >= 0:
            os.close(descriptor)


def close(ends, name):
    os.close(ends[name])
    ends[name] = -1


def frame_bytes(kind, body):
    """The bytes of a frame: kind, length as 8 little-endian bytes, body."""
    return kind + len(body).to_bytes(8, "little") + body


def test_a_frame_is_kind_length_and_body(pipe):
    wire.write_frame(pipe["writes"], wire.CHUNK, b"abc")
    assert os.read(pipe["reads"], 100) == b"C\x03\0\0\0\0\0\0\0abc"


@pytest.mark.parametrize("body", [b"", b"\0\0", b"x" * 3_000_000])
def test_a_frame_arrives_whole_whatever_a_pipe_holds(pipe, body):
    writing = threading.Thread(target=wire.write_frame, args=(pipe["writes"], wire.JOB, body))
    writing.start()
    assert wire.read_frame(pipe["reads"]) == (wire.JOB, body)
    writing.join()


def test_a_record_can_be_sent_as_its_memory(pipe):
    record = wire.chunk_of(4, np.array([1, 2]))
    wire.write_frame(pipe["writes"], wire.CHUNK, record.view("u1").data)
    assert wire.read_frame(pipe["reads"]) == (wire.CHUNK, record.tobytes())


@pytest.mark.parametrize("sent", [b"", b"C\x05", frame_bytes(b"C", b"abcde")[:-1]])
def test_a_closed_pipe_is_an_end_of_file(pipe, sent):
    os.write(pipe["writes"], sent)
    close(pipe, "writes")
    with pytest.raises(EOFError):
        wire.read_frame(pipe["reads"])


def test_a_reader_never_blocks(pipe):
    reader = wire.FrameReader(pipe["reads"])
    assert reader.poll() is None


def test_a_reader_collects_a_frame_from_single_bytes(pipe):
    reader = wire.FrameReader(pipe["reads"])
    content = frame_bytes(b"S", b"result")
    for k in range(len(content) - 1):
        os.write(pipe["writes"], content[k : k + 1])
        assert reader.poll() is None
    os.write(pipe["writes"], content[-1:])
    assert reader.poll() == (wire.RESULT, b"result")


def test_a_reader_takes_several_frames_of_one_read_apart(pipe):
    reader = wire.FrameReader(pipe["reads"])
    frames = [(b"H", b"hello"), (b"R", b""), (b"S", b"12")]
    os.write(
        pipe["writes"], b"".join(frame_bytes(*f) for f in frames) + frame_bytes(b"S", b"34")[:4]
    )
    assert [reader.poll() for _ in range(4)] == [*frames, None]
    os.write(pipe["writes"], frame_bytes(b"S", b"34")[4:])
    assert reader.poll() == (b"S", b"34")


def test_a_reader_gives_whole_frames_before_it_reports_the_end(pipe):
    reader = wire.FrameReader(pipe["reads"])
    os.write(pipe["writes"], frame_bytes(b"M", b"mistake") + b"S\x07")
    close(pipe, "writes")
    assert reader.poll() == (wire.MISTAKE, b"mistake")
    with pytest.raises(EOFError):
        reader.poll()


def test_a_chunk_holds_its_points_and_nothing_else():
    record = wire.chunk_of(2**40, np.array([5, 2**31 - 1]))
    assert record.shape == (1,)
    assert record["id"][0] == 2**40
    assert record["points"][0, : record["count"][0]].tolist() == [5, 2**31 - 1]
    assert not record["points"][0, 2:].any()


def test_a_chunk_has_room_for_its_maximum_and_no_more():
    assert wire.chunk_of(0, np.arange(wire.MAX_CHUNK))["count"][0] == wire.MAX_CHUNK
    with pytest.raises(ValueError, match="broadcast"):
        wire.chunk_of(0, np.arange(wire.MAX_CHUNK + 1))


def test_a_request_is_smaller_than_a_kilobyte():
    assert wire.CHUNK_RECORD.itemsize < 1024


def test_results_carry_any_number_of_columns_bit_for_bit():
    for columns in (1, 3, 10):
        record = np.zeros(1, dtype=wire.result_record(columns))
        values = np.array([np.nan, -0.0, np.inf] * 4)[:columns]
        record["points"]["values"][0, 7] = values
        again = np.frombuffer(record.tobytes(), dtype=wire.result_record(columns))
        assert again["points"]["values"][0, 7].tobytes() == values.tobytes()
