import logging

import numpy as np
import pytest
from fake_world import answers_of, value_at

from losscape_mpi.farm.chunk_size import ChunkSize
from losscape_mpi.farm.ledger import LATE_FACTOR, LATE_S, QUEUED_CHUNKS, Ledger
from losscape_mpi.point.records import MAX_CHUNK, Answers
from losscape_mpi.point.status import FAILED

NUM_COLUMNS = 2
LONG = 1e6


class Books:
    """A ledger on a clock that the test turns, and what its workers hold."""

    def __init__(self, points, workers=2, seconds=0.1):
        self.ledger = Ledger(np.asarray(points))
        self.workers, self.seconds, self.now = workers, seconds, 0.0
        self.held = {k: [] for k in range(workers)}

    def ask(self, worker):
        chunk = self.ledger.next_chunk(worker, self.workers, self.now)
        if chunk is None:
            return None
        self.held[worker].append(chunk)
        return chunk.indices.tolist()

    def settle(self, worker, shift=0.0):
        answers = answers_of(self.held[worker].pop(0), NUM_COLUMNS, self.seconds)
        payload = (answers.rows(NUM_COLUMNS) + shift).tobytes()
        return self.ledger.settle(worker, Answers(answers.id, answers.points, payload))

    def give_back(self, worker):
        self.held[worker] = []
        self.ledger.give_back(worker)


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
        (1e-4, 10_000_000, 2, MAX_CHUNK),
        (0.0, 10_000_000, 2, MAX_CHUNK),
        (0.02, 10_000, 0, 50),
        (0.25, 1_000_000, 50, 4),
        (0.25, 1_000_000, 1000, 80),  # 50 chunks a second of all workers
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


def test_no_chunk_is_more_than_half_of_a_workers_share_of_what_is_left():
    books, left = Books(range(1000), workers=3, seconds=1e-3), 1000
    sizes = []
    for _ in range(QUEUED_CHUNKS):  # the speed is unknown until the first answer
        left -= len(books.ask(0))
    while left:
        books.settle(0)
        chunk = books.ask(0)
        sizes.append(len(chunk))
        assert len(chunk) <= -(-left // (2 * 3))
        left -= len(chunk)
    assert sizes[0] == MAX_CHUNK
    assert sizes[-1] == 1


# ---- who has what ------------------------------------------------------------------------------


def test_points_leave_in_the_order_given():
    order = np.random.default_rng(0).permutation(200)
    books, seen = Books(order), []
    while (chunk := books.ask(0)) is not None:
        seen += chunk
        if len(books.held[0]) == QUEUED_CHUNKS:
            books.settle(0)
    assert seen == order.tolist()


def test_a_worker_never_owes_more_than_one_running_and_one_queued_chunk():
    books = Books(range(100))
    assert [books.ask(0) for _ in range(3)] == [[0], [1], None]
    assert books.ledger.owes(0)
    assert not books.ledger.owes(1)
    books.settle(0)
    assert books.ask(0) is not None


def test_an_answer_gives_its_points():
    books = Books([7, 3])
    books.ask(0)
    done = books.settle(0)
    assert done.points["index"].tolist() == [7]
    assert done.rows(NUM_COLUMNS).tolist() == [[value_at(7, 0), value_at(7, 1)]]


@pytest.mark.parametrize("spoil", ["id", "index", "count"])
def test_an_answer_to_another_question_is_a_bug(spoil):
    books = Books(range(3))
    books.ask(1)
    answers = answers_of(books.held[1][0], NUM_COLUMNS, 0.1)
    number, points = answers.id, answers.points.copy()
    if spoil == "index":
        points["index"] += 1
    elif spoil == "count":
        points = np.concatenate([points, points])
    else:
        number += 1
    with pytest.raises(RuntimeError, match=r"worker 1 answered chunk \d, expected 0"):
        books.ledger.settle(1, Answers(number, points, answers.payload))


def test_books_are_done_when_every_point_has_its_answer():
    books = Books([4, 5])
    assert not books.ledger.is_done()
    books.ask(0)
    books.ask(1)
    assert not books.ledger.is_done()
    books.settle(0)
    assert not books.ledger.is_done()
    books.settle(1)
    assert books.ledger.is_done()


def test_no_points_are_done_at_once():
    assert Ledger(np.zeros(0, dtype=int)).is_done()


def test_a_failed_point_is_an_answer():
    books = Books([7])
    books.ask(0)
    done = books.ledger.settle(0, Answers.failed(0, 7, 3))
    assert done.points["status"].tolist() == [FAILED]
    assert books.ledger.is_done()


def test_points_that_are_added_leave_after_all_others():
    books = Books([4, 5], workers=1, seconds=1.0)
    books.ask(0)
    books.ledger.extend(np.array([2, 1]))
    books.settle(0)
    assert [books.ask(0), books.ask(0)] == [[5], [2]]
    books.settle(0)
    assert books.ask(0) == [1]
    books.settle(0)
    assert not books.ledger.is_done()
    books.settle(0)
    assert books.ledger.is_done()


def test_points_may_be_asked_for_again_once_they_are_answered():
    books = Books([4], workers=1)
    books.ask(0)
    first = books.settle(0)
    books.ledger.extend(np.array([4]))
    assert not books.ledger.is_done()
    assert books.ask(0) == [4]
    second = books.settle(0)
    assert books.ledger.is_done()
    assert second.points["index"].tolist() == first.points["index"].tolist() == [4]
    assert second.id != first.id


# ---- giving back -------------------------------------------------------------------------------


def test_what_is_given_back_leaves_next_and_in_its_old_order():
    books = Books(range(100), workers=1, seconds=0.3)
    books.ask(0)
    books.settle(0)  # chunks of three points from now on
    assert [books.ask(0), books.ask(0)] == [[1, 2, 3], [4, 5, 6]]
    books.give_back(0)
    assert not books.ledger.owes(0)
    assert [books.ask(0), books.ask(0)] == [[1, 2, 3], [4, 5, 6]]


def test_a_worker_that_owes_nothing_gives_nothing_back():
    books = Books([8, 9])
    books.give_back(1)
    assert [books.ask(0), books.ask(0), books.ask(1)] == [[8], [9], None]


def test_answered_points_are_not_given_back():
    books = Books(range(3))
    books.ask(0)
    books.ask(0)
    books.settle(0)
    books.give_back(0)
    assert [books.ask(1), books.ask(1)] == [[1], [2]]


# ---- second copies -----------------------------------------------------------------------------


@pytest.fixture
def late():
    """Books where worker 0 holds points 0 and 1 for long, and 1 to 3 are idle."""
    books = Books(range(3), workers=4)
    assert [books.ask(0), books.ask(0), books.ask(1)] == [[0], [1], [2]]
    books.settle(1)
    books.now = LONG
    return books


def test_the_oldest_late_chunk_is_copied_first_and_each_only_once(late):
    assert late.ask(1) == [0]
    assert late.ask(1) is None  # it is not idle any more
    assert late.ask(2) == [1]
    assert late.ask(3) is None


def test_a_chunk_is_late_when_twice_its_time_in_the_queue_is_over(late):
    limit = LATE_FACTOR * QUEUED_CHUNKS * late.seconds + LATE_S
    late.now = limit - 1e-6
    assert late.ask(1) is None
    late.now = limit + 1e-6
    assert late.ask(1) == [0]


def test_nothing_is_copied_while_points_wait():
    books = Books(range(4), workers=3)
    books.ask(0)
    books.ask(1)
    books.settle(1)
    books.now = LONG
    assert [books.ask(1), books.ask(1), books.ask(2)] == [[2], [3], [0]]


def test_nothing_is_late_before_any_time_is_known():
    books = Books([5])
    books.ask(0)
    books.now = LONG
    assert books.ask(1) is None


def test_a_worker_gets_no_copy_of_its_own_chunk(late):
    assert late.ask(0) is None
    late.settle(0)
    assert late.ask(0) is None


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
def test_the_first_answer_of_two_counts(late, caplog, first, second):
    late.ask(1)
    late.held[0] = late.held[0][:1]
    assert late.settle(first).points["index"].tolist() == [0]
    assert late.settle(second) is None
    assert caplog.records == []


def test_other_bits_of_a_second_answer_are_warned_of(late, caplog):
    late.ask(1)
    late.settle(0)
    with caplog.at_level(logging.WARNING):
        assert late.settle(1, shift=1e-12) is None
    (record,) = caplog.records
    assert "worker 1 gives other bits than another one at points [0]" in record.getMessage()


def test_second_copies_on_their_way_are_not_waited_for(late):
    late.ask(1)
    late.ask(2)
    late.settle(1)
    assert not late.ledger.is_done()
    late.settle(2)
    assert late.ledger.owes(0)
    assert late.ledger.is_done()


def test_a_second_copy_that_answers_after_more_points_came_is_not_their_answer(late):
    late.ask(1)
    late.ask(2)
    late.settle(1)
    late.settle(2)
    late.ledger.extend(np.array([0]))  # the same index again, for another question
    assert not late.ledger.is_done()
    assert late.ask(1) == [0]
    assert late.settle(0) is None  # the first question's, late
    assert not late.ledger.is_done()
    assert late.settle(1).points["index"].tolist() == [0]
    assert late.ledger.is_done()


def test_what_another_worker_holds_is_not_given_back(late):
    late.ask(1)
    late.give_back(0)
    assert late.ask(2) == [1]  # point 0 is with worker 1 already
    late.settle(1)
    late.settle(2)
    assert late.ledger.is_done()


def test_what_another_worker_has_answered_is_not_given_back(late):
    late.ask(1)
    late.ask(2)
    late.settle(1)
    late.settle(2)
    late.give_back(0)
    assert late.ledger.is_done()
    assert late.ask(3) is None


def test_a_chunk_that_all_its_holders_gave_back_leaves_once_again(late):
    late.ask(1)
    late.give_back(1)
    late.give_back(0)
    assert [late.ask(2), late.ask(2), late.ask(3)] == [[0], [1], None]


# ---- a second computation ----------------------------------------------------------------------


def test_a_point_goes_to_another_worker_than_the_one_it_is_kept_from():
    books = Books([])
    books.ledger.extend(np.array([3, 4, 5]), {3: 0, 5: 1})
    asked = [books.ask(worker) for worker in (0, 1, 0, 1)]
    assert asked == [[4], [3], [5], None]


def test_the_last_worker_gets_what_was_kept_from_it():
    books = Books([], workers=1)
    books.ledger.extend(np.array([3, 4]), {3: 0, 4: 0})
    assert [books.ask(0), books.ask(0)] == [[3], [4]]


def test_points_for_another_worker_go_to_this_one_when_the_other_does_not_come():
    ledger = Ledger()
    ledger.extend(np.array([3, 4]), not_by={3: 0, 4: 0})
    assert ledger.next_chunk(0, 2, now=10.0) is None
    assert ledger.next_chunk(0, 2, now=10.0 + 0.9 * LATE_S) is None
    late = ledger.next_chunk(0, 2, now=10.0 + 1.1 * LATE_S)
    assert late.indices.tolist() == [3]
    assert ledger.next_chunk(1, 2, now=10.0 + 1.1 * LATE_S).indices.tolist() == [4]
