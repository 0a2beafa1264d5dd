import numpy as np
import pytest

from losscape_mpi.point.records import (
    DEVICE_RECORD,
    MAX_CHUNK,
    POINT_RECORD,
    Answers,
    Chunk,
    block_answer,
    pack_ready,
    row_answer,
    unpack_ready,
)
from losscape_mpi.point.status import DONE, FAILED

ROW = np.array([1.5, np.nan, -0.0, np.inf])
BLOCKS = [b"first", b"", bytes(range(256)) * 1000]


def again(answers):
    return Answers.unpack(answers.pack())


# ---- chunks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("indices", [[], [7], [5, 2**31 - 1, 0]])
def test_a_chunk_holds_its_indices_and_nothing_else(indices):
    body = Chunk(2**40, np.array(indices, dtype=int)).pack()
    chunk = Chunk.unpack(body)
    assert (chunk.id, chunk.indices.tolist()) == (2**40, indices)
    assert chunk.indices.dtype == "<i4"
    assert len(body) == 12 + 4 * len(indices)


def test_a_request_is_smaller_than_a_kilobyte():
    assert len(Chunk(0, np.arange(MAX_CHUNK)).pack()) < 1024


# ---- answers -----------------------------------------------------------------------------------


def test_an_answer_knows_its_point():
    answer = row_answer(2**40, 2**31 - 1, ROW, DONE, 0.25)
    found = again(answer)
    assert found.id == 2**40
    assert found.points.tolist() == [(2**31 - 1, DONE, 1, 0.25, ROW.nbytes)]
    assert found.points.dtype == POINT_RECORD


@pytest.mark.parametrize("width", [1, 3, 10, 4000])
def test_rows_carry_any_number_of_columns_bit_for_bit(width):
    rows = [np.resize(np.roll(ROW, k), width) for k in range(3)]
    parts = [row_answer(1, k, row, DONE, 0.1) for k, row in enumerate(rows)]
    found = again(Answers.join(parts))
    assert found.points["index"].tolist() == [0, 1, 2]
    assert found.rows(width).tobytes() == np.array(rows).tobytes()


def test_blocks_carry_any_bytes():
    parts = [block_answer(1, 9 - k, block, 0.1) for k, block in enumerate(BLOCKS)]
    found = again(Answers.join(parts))
    assert [bytes(block) for block in found.blocks()] == BLOCKS
    assert found.points["index"].tolist() == [9, 8, 7]
    assert found.points["status"].tolist() == [DONE] * 3


def test_a_block_is_not_copied_when_it_is_unpacked():
    body = block_answer(1, 0, BLOCKS[2], 0.1).pack()
    (block,) = Answers.unpack(body).blocks()
    assert block.obj is body


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_failed_point_has_no_values_and_the_others_keep_theirs(place):
    rows = np.arange(12.0).reshape(3, 4)
    parts = [row_answer(1, k, row, DONE, 0.1) for k, row in enumerate(rows)]
    parts[place] = Answers.failed(1, place, 3)
    found = again(Answers.join(parts))
    rows[place] = np.nan
    assert np.array_equal(found.rows(4), rows, equal_nan=True)
    assert found.points["status"][place] == FAILED
    assert found.points["attempts"][place] == 3


def test_a_failed_point_has_an_empty_block():
    parts = [block_answer(1, 0, b"one", 0.1), Answers.failed(1, 1, 2), block_answer(1, 2, b"3", 0)]
    assert [bytes(b) for b in again(Answers.join(parts)).blocks()] == [b"one", b"", b"3"]


def test_attempts_are_counted_to_255():
    assert Answers.failed(1, 0, 1000).points["attempts"].tolist() == [255]


@pytest.mark.parametrize("spoil", [lambda b: b + b"\0", lambda b: b[:-1]])
def test_answers_of_another_length_than_they_say_are_refused(spoil):
    body = row_answer(1, 0, ROW, DONE, 0.1).pack()
    with pytest.raises(ValueError, match="bytes of answers"):
        Answers.unpack(spoil(body))


@pytest.mark.parametrize("body", [b"", b"short", Chunk(3, np.arange(5)).pack()])
def test_what_is_no_answer_is_refused(body):
    with pytest.raises(ValueError):  # noqa: PT011
        Answers.unpack(body)


@pytest.mark.parametrize("width", [3, 5])
def test_rows_of_another_width_are_refused(width):
    with pytest.raises(ValueError, match=f"expected rows of {width}"):
        row_answer(1, 0, ROW, DONE, 0.1).rows(width)


def test_two_rows_that_have_the_right_width_together_are_refused():
    parts = [row_answer(1, k, np.zeros(n), DONE, 0.1) for k, n in enumerate((3, 5))]
    with pytest.raises(ValueError, match="expected rows of 4"):
        Answers.join(parts).rows(4)


# ---- the others --------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [0, 4, 2000])
def test_a_reference_row_arrives_with_its_bits(width):
    row = np.resize(ROW, width)
    seconds, found = unpack_ready(pack_ready(0.25, row))
    assert seconds == 0.25
    assert found.tobytes() == row.tobytes()


def test_a_device_record_has_one_size_whatever_it_says():
    record = np.zeros(1, dtype=DEVICE_RECORD)
    record["host"], record["name"], record["memory_bytes"] = b"node7", b"H200", 2**40
    assert np.frombuffer(record.tobytes(), DEVICE_RECORD)[0]["memory_bytes"] == 2**40
    assert len(record.tobytes()) == DEVICE_RECORD.itemsize < 512
