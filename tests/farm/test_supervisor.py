from collections import deque

import numpy as np
import pytest
from fake_world import chunk_body, hello

from losscape_mpi.farm.evaluator_process import EvaluatorError
from losscape_mpi.farm.patience import START_TIMEOUT_S, Patience
from losscape_mpi.farm.supervisor import Supervisor
from losscape_mpi.point.frames import (
    ANCHORS,
    BUSY,
    CHUNK,
    DECISION,
    FAILURE,
    HELLO,
    JOB,
    MISTAKE,
    NOTE,
    POINT,
    READY,
    RESULT,
    RETIRED,
    VECTOR,
    WAITING,
)
from losscape_mpi.point.records import (
    MAX_CHUNK,
    Answers,
    Chunk,
    block_answer,
    pack_ready,
    row_answer,
)
from losscape_mpi.point.status import DONE, FAILED

REFERENCE = np.array([0.5, 1.0])
PREPARED = (READY, pack_ready(0.25, REFERENCE))
ECHO = (JOB, b"")
DEATH = "killed by signal 9"


def point(index, seconds=0.1, chunk=0):
    row = np.array([10.0 * index, 0.0])
    return POINT, row_answer(chunk, index, row, DONE, seconds).pack()


class Child:
    """An evaluator process that does one thing after another; text in `frames` is its death."""

    is_sending = False

    def __init__(self, world):
        self.frames, self.asked, self.is_stopped = deque([hello()]), [], False
        self.world, self.todo, self.given = world, deque(), []

    def poll(self):
        if not self.frames and self.todo:
            todo = self.todo.popleft()
            if todo == JOB:
                self.world.prepare(self)
            else:
                self.frames.extend(self.world.behave(*todo))
        frame = self.frames.popleft() if self.frames else None
        if isinstance(frame, str):
            raise EvaluatorError(frame)
        return frame

    def send(self, kind, body=b""):
        assert not self.is_stopped
        if kind == CHUNK:
            chunk = Chunk.unpack(body)
            self.asked.append(chunk.indices.tolist())
            self.todo.extend((chunk.id, index) for index in self.asked[-1])
            return
        self.given.append((kind, bytes(body)))
        if kind == JOB:
            self.todo.append(JOB)

    def stop(self):
        self.is_stopped = True

    @property
    def blocks(self):
        return [frame for frame in self.given if frame[0] != JOB]

    @property
    def jobs(self):
        return [body for kind, body in self.given if kind == JOB]


class World:
    """All children of one supervisor, a clock, and how points behave."""

    def __init__(self, retries=2, timeout_s=None, proves=False):
        self.proving = []  # whether each child proves
        self.children, self.now, self.reference = [], 0.0, REFERENCE
        self.trouble = {}  # index -> what comes before its answer, once each
        self.prepare = lambda child: child.frames.append((READY, pack_ready(0.25, self.reference)))
        self.supervisor = Supervisor(
            self.start, Patience(retries, timeout_s), lambda: self.now, proves=proves
        )

    def start(self, proves):
        self.proving.append(proves)
        self.children.append(Child(self))
        return self.children[-1]

    @property
    def child(self):
        return self.children[-1]

    def behave(self, chunk, index):
        todo = self.trouble.get(index)
        return [todo.popleft()] if todo else [point(index, chunk=chunk)]

    def frames(self):
        found, idle = [], 0
        while idle < 5:
            frame = self.supervisor.poll()
            idle = idle + 1 if frame is None else 0
            found += [frame] if frame else []
        return found

    def ready(self):
        assert [kind for kind, _ in self.frames()] == [HELLO]
        self.supervisor.send(JOB, b"job")
        assert self.frames() == [ECHO, PREPARED]
        return self

    def ask(self, *points, number=0):
        self.supervisor.send(CHUNK, chunk_body(number, *points))


def unpack(frame):
    kind, body = frame
    assert kind == RESULT
    answers = Answers.unpack(body)
    return answers.id, answers.points


def values(frame):
    return Answers.unpack(frame[1]).rows(2)[:, 0].tolist()


def reason(frame):
    """The point that a failure is about, and why."""
    assert frame[0] == FAILURE
    return Answers.unpack(frame[1]).reason()


def kinds(frames):
    return [kind for kind, _ in frames]


def test_points_are_collected_into_the_answer_of_their_chunk():
    world = World().ready()
    world.ask(3, 1, number=7)
    world.ask(2, number=8)
    first, second = world.frames()
    assert unpack(first)[0] == 7
    assert unpack(first)[1]["index"].tolist() == [3, 1]
    assert values(first) == [30.0, 10.0]
    assert unpack(second)[0] == 8


def test_one_look_takes_in_all_points_that_the_process_has_answered():
    world = World().ready()
    world.ask(*range(MAX_CHUNK))
    kind, body = world.supervisor.poll()  # the caller sleeps before its next look
    assert kind == RESULT
    assert len(Answers.unpack(body).points) == MAX_CHUNK


def test_a_process_that_talks_all_the_time_does_not_keep_the_worker_from_its_other_duties():
    world = World().ready()
    world.behave = lambda chunk, index: [(BUSY, b"")] * 100_000
    world.ask(1)
    assert world.supervisor.poll() is None
    assert len(world.child.frames) > 90_000


def test_large_blocks_are_answers_like_any_other():
    world, blocks = World().ready(), [bytes([k]) * (3 << 20) for k in (1, 2)]
    for k, block in enumerate(blocks):
        world.trouble[k] = deque([(POINT, block_answer(0, k, block, 0.1).pack())])
    world.ask(0, 1)
    (result,) = world.frames()
    assert [bytes(b) for b in Answers.unpack(result[1]).blocks()] == blocks


def test_a_death_costs_the_running_point_a_try_and_nothing_else():
    world = World().ready()
    world.trouble[1] = deque([DEATH])
    world.ask(3, 1, 2)
    failure, result = world.frames()
    assert reason(failure) == (1, DEATH)
    assert unpack(result)[1]["index"].tolist() == [3, 1, 2]
    assert unpack(result)[1]["status"].tolist() == [DONE, FAILED, DONE]
    assert world.children[1].asked == [[2]]  # neither the finished one nor that which failed
    assert world.children[0].is_stopped


def test_a_point_at_which_the_model_raises_is_an_answer_and_the_process_lives():
    world = World().ready()
    for index in range(1, 7):
        raised = Answers.failed(0, index, reason=f"ValueError: {index}").pack()
        world.trouble[index] = deque([(POINT, raised)])
    world.ask(*range(8))
    frames = world.frames()
    assert [reason(frame) for frame in frames[:-1]] == [
        (k, f"ValueError: {k}") for k in range(1, 7)
    ]
    assert unpack(frames[-1])[1]["status"].tolist() == [DONE, *[FAILED] * 6, DONE]
    assert np.isfinite(values(frames[-1])).tolist() == [True, *[False] * 6, True]
    assert len(world.children) == 1


def test_three_bad_points_in_a_row_retire_the_worker():
    world = World(retries=0).ready()
    for index in (1, 2, 3):
        world.trouble[index] = deque([DEATH])
    world.ask(1, 2, 3, 4)
    assert kinds(world.frames()) == [FAILURE, FAILURE, FAILURE, RETIRED]
    assert len(world.children) == 3
    assert all(child.is_stopped for child in world.children)
    assert world.frames() == []


def test_what_still_comes_for_a_retired_worker_is_given_to_nobody():
    world = World(retries=0).ready()
    for index in (1, 2, 3):
        world.trouble[index] = deque([DEATH])
    world.ask(1, 2, 3)
    world.frames()
    world.ask(4, number=1)
    world.supervisor.send(VECTOR, b"block")
    world.supervisor.send(JOB, b"another job")
    world.ask(5, number=2)
    assert world.frames() == [ECHO]
    assert not world.supervisor.is_sending
    assert len(world.children) == 3


def test_good_points_between_bad_ones_keep_the_worker():
    world = World(retries=0).ready()
    for index in (1, 3, 5, 7):
        world.trouble[index] = deque([DEATH])
    world.ask(1, 2, 3, 4, 5, 6, 7, 8)
    frames = world.frames()
    assert RETIRED not in kinds(frames)
    assert unpack(frames[-1])[1]["status"].tolist() == [FAILED, DONE] * 4


def test_one_point_that_kills_every_time_does_not_retire_the_worker():
    world = World().ready()
    world.trouble[1] = deque([DEATH] * 5)
    for number in range(6):  # the master asks for it again and again
        world.ask(1, number=number)
        frames = world.frames()
    assert unpack(frames[-1])[1]["status"].tolist() == [DONE]


def test_points_that_are_known_to_kill_do_not_retire_the_worker():
    world = World().ready()
    for index in (1, 2):
        world.trouble[index] = deque([DEATH] * 3)
    for number in range(3):
        world.ask(1, 2, number=number)
        assert RETIRED not in kinds(world.frames())


def test_a_process_that_never_gets_ready_again_retires_the_worker():
    world = World().ready()
    world.trouble[1] = deque([DEATH])
    world.prepare = lambda child: child.frames.append("lost CUDA context")
    world.ask(1)
    frames = world.frames()
    assert frames[-1][0] == RETIRED
    assert b"lost CUDA context" in frames[-1][1]


@pytest.mark.parametrize(
    "answer",
    [
        (POINT, b"short"),
        (POINT, point(1)[1] + b"\0"),
        point(9),
        point(1, chunk=3),
        (POINT, Answers.join([Answers.unpack(point(1)[1])] * 2).pack()),
    ],
    ids=["short", "long", "another point", "another chunk", "twice"],
)
def test_nonsense_is_treated_as_a_death(answer):
    world = World().ready()
    world.trouble[1] = deque([answer])
    world.ask(1)
    failure, result = world.frames()
    assert reason(failure)[0] == 1
    assert unpack(result)[1]["status"].tolist() == [FAILED]
    world.ask(1, number=1)
    assert values(world.frames()[0]) == [10.0]


def test_another_reference_after_a_restart_is_a_failure():
    world = World().ready()
    world.trouble[1] = deque([DEATH])
    world.reference = np.array([0.5, 1.25])
    world.ask(1)
    assert world.frames()[-1][0] == RETIRED


@pytest.mark.parametrize("when", ["before its job", "before it is ready"])
def test_a_death_before_the_first_time_it_is_ready_is_an_error_of_the_run(when):
    world = World()
    world.frames()
    world.prepare = lambda child: None
    if when == "before it is ready":
        world.supervisor.send(JOB, b"job")
        world.frames()
    world.child.frames.append("exit code 1")
    with pytest.raises(EvaluatorError, match="exit code 1"):
        world.frames()


def test_mistakes_and_lines_for_the_log_are_passed_on():
    world = World().ready()
    said = [(NOTE, b"probing"), (DECISION, b"{}"), (MISTAKE, b"no such file" * 10_000)]
    world.child.frames.extend(said)
    assert world.frames() == said


def test_after_a_death_points_are_asked_for_one_by_one():
    world = World().ready()
    world.trouble[5] = deque([DEATH])
    world.ask(4, 5, 6, 7, number=1)
    world.frames()
    assert world.children[0].asked == [[4, 5, 6, 7]]
    assert world.children[1].asked == [[6], [7]]


# ---- blocks ------------------------------------------------------------------------------------


def test_what_comes_after_the_job_is_kept_for_the_next_child():
    world = World().ready()
    wanted = [(DECISION, b"{}"), (ANCHORS, b"values")]
    for block in wanted:
        world.supervisor.send(*block)
    assert world.children[0].blocks == wanted
    world.trouble[4] = deque([DEATH])
    world.ask(4, number=1)
    world.frames()
    assert len(world.children) == 2
    assert world.children[1].given == [(JOB, b"job"), *wanted]


def test_the_next_child_gets_the_last_block_of_each_kind():
    world = World().ready()
    for block in [(VECTOR, b"first"), (DECISION, b"{}"), (VECTOR, b"second")]:
        world.supervisor.send(*block)
    world.trouble[4] = deque([DEATH])
    world.ask(4)
    world.frames()
    assert world.children[1].blocks == [(DECISION, b"{}"), (VECTOR, b"second")]


def test_a_block_that_comes_while_a_child_starts_is_handed_over_with_the_job():
    world = World().ready()
    world.child.frames.append(DEATH)
    world.supervisor.poll()
    world.child.frames.clear()
    world.supervisor.send(VECTOR, b"block")
    world.frames()
    assert world.child.given == []
    world.child.frames.append(hello())
    world.frames()
    assert world.child.given == [(JOB, b"job"), (VECTOR, b"block")]


# ---- several jobs ------------------------------------------------------------------------------


def test_a_second_job_is_prepared_by_the_same_process_and_ends_the_first():
    world = World().ready()
    world.supervisor.send(VECTOR, b"of the first job")
    world.ask(1, 2)
    world.reference = np.array([3.0])
    world.supervisor.send(JOB, b"second")
    # The answers for points 1 and 2 are on their way before it is ready again.
    assert world.frames() == [ECHO, (READY, pack_ready(0.25, np.array([3.0])))]
    world.ask(1, number=0)
    assert values(world.frames()[0]) == [10.0]
    assert len(world.children) == 1
    assert world.child.jobs == [b"job", b"second"]


def test_answers_of_a_job_before_are_never_those_of_the_present_one():
    world = World().ready()
    world.prepare = lambda child: None
    world.ask(1, 2)
    world.supervisor.send(JOB, b"second")
    assert world.frames() == [ECHO]
    assert not world.child.todo  # points 1 and 2 are answered
    world.child.frames.append(PREPARED)
    assert world.frames() == [PREPARED]
    world.trouble[1] = deque([(POINT, block_answer(0, 1, b"of the second job", 0.1).pack())])
    world.ask(1)
    (result,) = world.frames()
    assert bytes(Answers.unpack(result[1]).payload) == b"of the second job"


def test_a_job_that_comes_before_the_one_before_is_ready_is_not_taken_for_it():
    world = World()
    world.frames()
    world.prepare = lambda child: None
    world.supervisor.send(JOB, b"first")
    world.supervisor.send(JOB, b"second")
    world.child.frames.append((READY, pack_ready(0.1, np.array([1.0]))))
    assert world.frames() == [ECHO, ECHO]
    second = (READY, pack_ready(0.2, np.array([2.0])))
    world.child.frames.append(second)
    assert world.frames() == [second]
    assert len(world.children) == 1


def test_a_new_process_gets_the_present_job_alone():
    world = World().ready()
    world.supervisor.send(VECTOR, b"of the first job")
    world.supervisor.send(JOB, b"second")
    world.frames()
    world.supervisor.send(ANCHORS, b"of the second job")
    world.trouble[4] = deque([DEATH])
    world.ask(4)
    assert kinds(world.frames()) == [FAILURE, RESULT]
    assert world.children[1].given == [(JOB, b"second"), (ANCHORS, b"of the second job")]


def test_a_process_that_dies_between_jobs_is_started_again():
    world = World().ready()
    world.child.frames.append(DEATH)
    assert world.frames() == []
    assert len(world.children) == 2
    world.supervisor.send(JOB, b"second")
    assert world.frames() == [ECHO, PREPARED]
    assert world.child.jobs == [b"job", b"second"]


def test_a_job_that_comes_while_a_process_starts_again_is_its_first():
    world = World().ready()
    world.child.frames.append(DEATH)
    world.supervisor.poll()
    world.supervisor.send(JOB, b"second")
    assert world.frames() == [ECHO, PREPARED]
    assert world.child.jobs == [b"second"]


def test_a_death_before_a_later_job_is_ready_costs_a_new_process():
    world = World().ready()
    prepare, world.prepare = world.prepare, lambda child: child.frames.append(DEATH)
    world.supervisor.send(JOB, b"second")
    assert world.supervisor.poll() == ECHO
    assert world.supervisor.poll() is None
    world.prepare = prepare
    assert world.frames() == [PREPARED]
    assert world.child.jobs == [b"second"]


def test_another_job_may_have_another_reference_but_a_restart_may_not():
    world = World().ready()
    world.reference = np.array([7.0, 8.0, 9.0])
    world.supervisor.send(JOB, b"second")
    assert world.frames()[-1] == (READY, pack_ready(0.25, world.reference))
    world.trouble[1] = deque([DEATH])
    world.reference = REFERENCE  # of the first job
    world.ask(1)
    assert world.frames()[-1][0] == RETIRED


# ---- who proves --------------------------------------------------------------------------------


@pytest.mark.parametrize("proves", [True, False])
def test_a_job_that_was_ready_is_not_proved_again_by_the_next_process(proves):
    world = World(proves=proves).ready()
    world.trouble[1] = deque([DEATH, DEATH])
    for number in range(2):
        world.ask(1, number=number)
        world.frames()
    assert world.proving == [proves, False, False]


def test_a_worker_that_proves_gets_a_process_that_does_for_each_job():
    world = World(proves=True).ready()
    world.supervisor.send(JOB, b"second")
    world.frames()
    assert world.proving == [True]  # it still does
    world.trouble[1] = deque([DEATH])
    world.ask(1)
    world.frames()
    assert world.proving == [True, False]
    world.supervisor.send(JOB, b"third")
    assert world.frames() == [ECHO, PREPARED]
    assert world.proving == [True, False, True]
    assert world.children[1].is_stopped
    assert world.child.jobs == [b"third"]


def test_a_process_that_dies_before_a_job_is_ready_leaves_the_proof_to_the_next():
    world = World(proves=True).ready()
    prepare, world.prepare = world.prepare, lambda child: child.frames.append(DEATH)
    world.supervisor.send(JOB, b"second")
    world.supervisor.poll()
    world.supervisor.poll()
    world.prepare = prepare
    assert world.frames() == [PREPARED]
    assert world.proving == [True, True]


def test_what_is_decided_already_is_not_decided_again():
    world = World(proves=True).ready()

    def decide(child):
        child.frames.append((DECISION, b"{%d}" % len(world.children)))

    world.prepare = decide
    world.supervisor.send(JOB, b"second")
    assert world.frames() == [ECHO, (DECISION, b"{1}")]
    world.supervisor.send(DECISION, b"{1}")
    world.child.frames.append(DEATH)
    assert world.frames() == []  # the next one decides otherwise, and is told
    assert world.child.given == [(JOB, b"second"), (DECISION, b"{1}")]


# ---- time --------------------------------------------------------------------------------------


def test_a_silent_process_is_restarted_after_the_point_timeout():
    world = World(timeout_s=5.0).ready()
    world.trouble[1] = deque([None])  # None: it says nothing
    world.ask(1)
    assert world.frames() == []
    world.now = 4.9
    assert world.frames() == []
    world.now = 5.1
    failure, result = world.frames()
    assert "no answer for 5 s" in reason(failure)[1]
    assert unpack(result)[1]["status"].tolist() == [FAILED]


def test_the_measured_timeout_is_ten_times_the_longest_point():
    world = World().ready()
    world.trouble = {1: deque([point(1, seconds=30.0)]), 3: deque([None])}
    world.ask(1)
    world.frames()
    world.ask(3)
    world.now = 299.0
    assert world.frames() == []
    world.now = 301.0
    assert world.frames()[0][0] == FAILURE


def test_the_longest_point_of_another_job_is_no_measure():
    world = World().ready()
    world.trouble = {1: deque([point(1, seconds=30.0)]), 3: deque([None])}
    world.ask(1)
    world.frames()
    world.supervisor.send(JOB, b"second")
    world.frames()
    world.ask(3)
    world.now = 61.0
    assert world.frames()[0][0] == FAILURE


def test_an_idle_worker_is_not_timed_out():
    world = World(timeout_s=1.0).ready()
    world.now = 1e6
    assert world.frames() == []
    world.ask(1)
    assert unpack(world.frames()[0])[1]["index"].tolist() == [1]


def test_the_first_point_may_take_ten_times_what_a_rehearsed_one_took():
    world = World()
    world.frames()
    world.prepare = lambda child: child.frames.append((READY, pack_ready(63.0, REFERENCE)))
    world.supervisor.send(JOB, b"job")
    world.frames()
    world.trouble[1] = deque([None])
    world.ask(1)
    world.now += 629.0
    assert world.frames() == []
    world.now += 2.0
    assert world.frames()[0][0] == FAILURE


def test_a_sign_of_life_is_no_answer_but_starts_the_clock_anew():
    world = World(timeout_s=5.0).ready()
    world.trouble[1] = deque([None])
    world.ask(1)
    assert world.frames() == []
    for _ in range(3):
        world.now += 4.0
        world.child.frames.append((BUSY, b""))
        assert world.frames() == []
    world.now += 5.1
    assert "no answer for 5 s" in world.frames()[0][1].decode()


def test_a_child_that_waits_for_what_another_decides_is_not_late():
    world = World()
    world.frames()
    world.prepare = lambda child: child.frames.append((WAITING, b""))
    world.supervisor.send(JOB, b"job")
    world.frames()
    world.now += 1e6
    assert world.frames() == []
    world.supervisor.send(DECISION, b"{}")
    world.now += 1e6
    with pytest.raises(EvaluatorError, match="no answer"):
        world.frames()


def test_a_process_that_waits_for_its_job_is_not_taken_for_dead():
    world = World()
    world.frames()
    world.now += 10 * START_TIMEOUT_S
    assert world.frames() == []
    world.supervisor.send(JOB, b"job")
    assert world.frames() == [ECHO, PREPARED]
    assert len(world.children) == 1


@pytest.mark.parametrize("has_job", [True, False])
def test_a_process_that_never_says_hello_is_taken_for_dead(has_job):
    world = World()
    world.child.frames.clear()
    if has_job:
        world.supervisor.send(JOB, b"job")
    world.frames()
    world.now += START_TIMEOUT_S
    assert world.frames() == []
    world.now += 1.0
    with pytest.raises(EvaluatorError, match="no answer for 600 s"):
        world.frames()


def test_a_process_that_never_gets_ready_for_its_job_is_taken_for_dead():
    world = World()
    world.frames()
    world.prepare = lambda child: None
    world.now += 10 * START_TIMEOUT_S
    world.supervisor.send(JOB, b"job")
    world.now += START_TIMEOUT_S
    assert world.frames() == [ECHO]
    world.now += 1.0
    with pytest.raises(EvaluatorError, match="no answer for 600 s"):
        world.frames()
