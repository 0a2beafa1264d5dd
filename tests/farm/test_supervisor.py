from collections import deque

import numpy as np
import pytest
from fake_world import hello

from losscape_mpi import wire
from losscape_mpi.farm.evaluator_process import EvaluatorError
from losscape_mpi.farm.supervisor import FAILED, Patience, Supervisor

CENTER = np.array([0.5, 1.0]).tobytes()
SECONDS = np.float64(0.25).tobytes()
DEATH = "killed by signal 9"


def point(index, seconds=0.1):
    record = np.zeros(1, dtype=wire.point_record(2))
    record[0] = (index, 1, 1, seconds, [10.0 * index, 0.0])
    return wire.POINT, record.tobytes()


class Child:
    """An evaluator process that does what the test lays into `frames`; text is its death."""

    def __init__(self, world):
        self.frames, self.asked, self.is_stopped = deque([hello()]), [], False
        self.world, self.todo, self.later = world, deque(), []

    def poll(self):
        if not self.frames and self.todo:
            self.frames.extend(self.world.behave(self.todo.popleft()))
        frame = self.frames.popleft() if self.frames else None
        if isinstance(frame, str):
            raise EvaluatorError(frame)
        return frame

    def check_alive(self):
        pass

    def send_job(self, block):
        self.frames.append((wire.READY, SECONDS + self.world.center))

    def send_frame(self, kind, body):
        self.later.append((kind, body))

    def send_chunk(self, record):
        points = record["points"][0, : record["count"][0]].tolist()
        self.asked.append(points)
        self.todo.extend(points)

    def stop(self):
        self.is_stopped = True


class World:
    """All children of one supervisor, a clock, and how points behave."""

    def __init__(self, retries=2, timeout_s=None):
        self.children, self.now, self.center = [], 0.0, CENTER
        self.trouble = {}  # index -> what comes before its answer, once each
        self.supervisor = Supervisor(self.start, Patience(retries, timeout_s), lambda: self.now)

    def start(self, is_first):
        assert is_first == (not self.children)
        self.children.append(Child(self))
        return self.children[-1]

    def behave(self, index):
        todo = self.trouble.get(index)
        return [todo.popleft()] if todo else [point(index)]

    def frames(self):
        found, idle = [], 0
        while idle < 5:
            frame = self.supervisor.poll()
            idle = idle + 1 if frame is None else 0
            found += [frame] if frame else []
        return found

    def ready(self):
        assert [kind for kind, _ in self.frames()] == [wire.HELLO]
        self.supervisor.send_job(b"job")
        assert self.frames() == [(wire.READY, SECONDS + CENTER)]
        return self

    def ask(self, *points, number=0):
        self.supervisor.send_chunk(wire.chunk_of(number, np.array(points)))


def unpack(frame):
    kind, body = frame
    assert kind == wire.RESULT
    record = np.frombuffer(body, dtype=wire.result_record(2))[0]
    return record["id"], record["points"][: record["count"]]


def test_points_are_collected_into_the_answer_of_their_chunk():
    world = World().ready()
    world.ask(3, 1, number=7)
    world.ask(2, number=8)
    first, second = world.frames()
    assert unpack(first)[0] == 7
    assert unpack(first)[1]["index"].tolist() == [3, 1]
    assert unpack(first)[1]["values"][:, 0].tolist() == [30.0, 10.0]
    assert unpack(second)[0] == 8


def test_a_death_costs_the_running_point_a_try_and_nothing_else():
    world = World().ready()
    world.trouble[1] = deque([DEATH])
    world.ask(3, 1, 2)
    failure, result = world.frames()
    assert failure[0] == wire.FAILURE
    assert failure[1].decode() == f"point 1, try 1: {DEATH}; tried again"
    assert unpack(result)[1]["index"].tolist() == [3, 1, 2]
    assert unpack(result)[1]["attempts"].tolist() == [1, 2, 1]
    assert world.children[1].asked == [[1], [2]]  # not the finished one
    assert world.children[0].is_stopped


def test_a_point_is_given_up_after_its_retries():
    world = World(retries=1).ready()
    world.trouble[1] = deque([DEATH] * 2)
    world.ask(1, 2)
    frames = world.frames()
    assert [kind for kind, _ in frames] == [wire.FAILURE, wire.FAILURE, wire.RESULT]
    assert frames[1][1].decode().endswith("given up")
    points = unpack(frames[2])[1]
    assert points["status"].tolist() == [FAILED, 1]
    assert np.isnan(points["values"][0]).all()
    assert points["attempts"].tolist() == [2, 1]


def test_three_bad_points_in_a_row_retire_the_worker():
    world = World(retries=0).ready()
    for index in (1, 2, 3):
        world.trouble[index] = deque([DEATH])
    world.ask(1, 2, 3, 4)
    kinds = [kind for kind, _ in world.frames()]
    assert kinds == [wire.FAILURE, wire.FAILURE, wire.FAILURE, wire.RETIRED]
    assert len(world.children) == 3
    assert all(child.is_stopped for child in world.children)
    assert world.frames() == []


def test_good_points_between_bad_ones_keep_the_worker():
    world = World(retries=0).ready()
    for index in (1, 3, 5, 7):
        world.trouble[index] = deque([DEATH])
    world.ask(1, 2, 3, 4, 5, 6, 7, 8)
    frames = world.frames()
    assert wire.RETIRED not in [kind for kind, _ in frames]
    assert unpack(frames[-1])[1]["status"].tolist() == [FAILED, 1] * 4


def test_one_point_that_kills_every_time_does_not_retire_the_worker():
    world = World(retries=5).ready()
    world.trouble[1] = deque([DEATH] * 5)
    world.ask(1)
    frames = world.frames()
    assert unpack(frames[-1])[1]["attempts"].tolist() == [6]


def test_a_process_that_never_gets_ready_again_retires_the_worker():
    world = World().ready()
    world.trouble[1] = deque([DEATH])
    original = Child.send_job
    Child.send_job = lambda child, block: child.frames.append("lost CUDA context")
    try:
        world.ask(1)
        frames = world.frames()
    finally:
        Child.send_job = original
    assert frames[-1][0] == wire.RETIRED
    assert b"lost CUDA context" in frames[-1][1]


def test_a_silent_process_is_restarted_after_the_point_timeout():
    world = World(timeout_s=5.0).ready()
    world.trouble[1] = deque([None])  # None: it says nothing
    world.ask(1)
    assert world.frames() == []
    world.now = 4.9
    assert world.frames() == []
    world.now = 5.1
    failure, result = world.frames()
    assert "no answer for 5 s" in failure[1].decode()
    assert unpack(result)[1]["attempts"].tolist() == [2]


def test_the_measured_timeout_is_ten_times_the_longest_point():
    world = World().ready()
    world.trouble = {1: deque([point(1, seconds=30.0)]), 3: deque([None])}
    world.ask(1)
    world.frames()
    world.ask(3)
    world.now = 299.0
    assert world.frames() == []
    world.now = 301.0
    assert world.frames()[0][0] == wire.FAILURE


def test_an_idle_worker_is_not_timed_out():
    world = World(timeout_s=1.0).ready()
    world.now = 1e6
    assert world.frames() == []
    world.ask(1)
    assert unpack(world.frames()[0])[1]["index"].tolist() == [1]


@pytest.mark.parametrize("answer", [(wire.POINT, b"short"), point(9)])
def test_nonsense_is_treated_as_a_death(answer):
    world = World().ready()
    world.trouble[1] = deque([answer])
    world.ask(1)
    failure, result = world.frames()
    assert failure[0] == wire.FAILURE
    assert unpack(result)[1]["values"][0, 0] == 10.0


def test_another_center_after_a_restart_is_a_failure():
    world = World().ready()
    world.trouble[1] = deque([DEATH])
    world.center = np.array([0.5, 1.25]).tobytes()
    world.ask(1)
    assert world.frames()[-1][0] == wire.RETIRED


def test_a_death_before_the_first_center_is_an_error_of_the_run():
    world = World()
    world.frames()
    world.children[0].frames.append("exit code 1")
    with pytest.raises(EvaluatorError, match="exit code 1"):
        world.frames()


def test_what_comes_after_the_job_is_kept_for_the_next_child():
    world = World().ready()
    world.supervisor.send_later(wire.CHOICES, b"{}")
    world.supervisor.send_later(wire.ANCHORS, b"values")
    wanted = [(wire.CHOICES, b"{}"), (wire.ANCHORS, b"values")]
    assert world.children[0].later == wanted
    world.trouble[4] = deque([DEATH])
    world.supervisor.send_chunk(wire.chunk_of(1, np.array([4])))
    world.frames()
    assert len(world.children) == 2
    assert world.children[1].later == wanted


def test_a_child_that_waits_for_the_choices_of_another_is_not_late():
    world = World()
    world.frames()
    world.supervisor.send_job(b"job")
    world.children[0].frames = deque([(wire.WAITING, b"")])
    world.frames()
    world.now += 1e6
    assert world.frames() == []
    world.supervisor.send_later(wire.CHOICES, b"{}")
    world.now += 1e6
    with pytest.raises(EvaluatorError, match="no answer"):
        world.frames()


def test_after_a_death_points_are_asked_for_one_by_one():
    world = World().ready()
    world.trouble[5] = deque([DEATH])
    world.supervisor.send_chunk(wire.chunk_of(1, np.array([4, 5, 6])))
    world.frames()
    assert world.children[0].asked == [[4, 5, 6]]
    assert world.children[1].asked == [[5], [6]]


def test_the_first_point_may_take_ten_times_what_the_center_took():
    world = World()
    world.frames()
    world.supervisor.send_job(b"job")
    world.children[0].frames = deque([(wire.READY, np.float64(63.0).tobytes() + CENTER)])
    world.frames()
    world.trouble[1] = deque([None])
    world.ask(1)
    world.now += 629.0
    assert world.frames() == []
    world.now += 2.0
    assert world.frames()[0][0] == wire.FAILURE


def test_a_sign_of_life_is_no_answer_but_starts_the_clock_anew():
    world = World(timeout_s=5.0).ready()
    world.trouble[1] = deque([None])
    world.ask(1)
    assert world.frames() == []
    for _ in range(3):
        world.now += 4.0
        world.children[0].frames.append((wire.BUSY, b""))
        assert world.frames() == []
    world.now += 5.1
    assert "no answer for 5 s" in world.frames()[0][1].decode()
