"""The evaluator process: its pieces in this process, and the whole over real pipes."""

import dataclasses
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from small_problems import draw, labels, problem_of, split_of
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.estimators.mean import Evaluator
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.measure.build import sample_measures
from losscape_mpi.point import frames
from losscape_mpi.point.records import DEVICE_RECORD, Answers, Chunk, unpack_ready
from losscape_mpi.point.status import DONE, NONFINITE
from losscape_mpi.problem.build import build_problem
from losscape_mpi.study.grid import Grid
from losscape_mpi.study.load import load_study
from losscape_mpi.task import places, process, serve
from losscape_mpi.task.build import begin_task, load_problem
from losscape_mpi.task.device import describe_device, open_device
from losscape_mpi.task.job import POINTS, Job
from losscape_mpi.task.task import Host

CHOICES = Choices(16, "channels_last", widens=True)
HOST = Host(torch.device("cpu"), 1, False, lambda _text: None, lambda: None, lambda own: own or b"")
LIMIT_S = 60


class Scripted:
    """An evaluator whose values tell which point was asked for, and by which index."""

    group = 2

    def __init__(self):
        self.asked = []

    def evaluate_many(self, points, indices=None):
        self.asked.append(indices)
        return iter(np.array([alpha, np.nan, beta]) for alpha, beta in points)


class Pipes:
    """Two pipes: the rank's ends, and the numbers that the process is told."""

    def __init__(self):
        self.child_reads, self.write_fd = os.pipe()
        self.read_fd, self.child_writes = os.pipe()

    def arguments(self, threads):
        numbers = ["--read-fd", str(self.child_reads), "--write-fd", str(self.child_writes)]
        return [*numbers, "--device", "cpu", "--threads", str(threads), "--check"]

    def close(self, *names):
        for name in names:
            if getattr(self, name) >= 0:
                os.close(getattr(self, name))
            setattr(self, name, -1)


@pytest.fixture
def pipes():
    both = Pipes()
    yield both
    both.close("child_reads", "child_writes", "read_fd", "write_fd")


@pytest.fixture
def child(pipes):
    command = [sys.executable, "-m", "losscape_mpi.task.process", *pipes.arguments(threads=2)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    handed_on = (pipes.child_reads, pipes.child_writes)
    process = subprocess.Popen(command, pass_fds=handed_on, env=environment)
    pipes.close("child_reads", "child_writes")
    yield process
    process.kill()
    process.wait(LIMIT_S)


@pytest.fixture(scope="module")
def study():
    settings = ["problem.data.samples=40", "grid.alpha=[-1, 0.7, 3]", "grid.beta=[-0.5, 0.25, 2]"]
    return load_study(None, settings)


@pytest.fixture(scope="module")
def problem(study):
    return build_problem(study.problem)


@pytest.fixture(scope="module")
def directions(study, problem):
    plane = make_plane(study.plane, 2, dict(problem.model.named_parameters()))
    return {a: {n: t.numpy() for n, t in d.items()} for a, d in plane.directions.items()}


@pytest.mark.parametrize(
    ("index", "values", "status"),
    [(4, [2.0, 5.0], DONE), (1, [-1.0, np.inf], NONFINITE)],
)
def test_an_answer_carries_the_point_that_was_asked_for(monkeypatch, index, values, status):
    scripted, grid = Scripted(), Grid(np.array([-1.0, 0.0, 2.0]), np.array([5.0, np.inf]))
    monkeypatch.setattr(places, "build_evaluator", lambda *_, **__: scripted)
    monkeypatch.setattr(places.Grid, "from_config", lambda _config: grid)
    study = load_study(None, ["metrics=[loss]"])
    linear = problem_of(nn.Linear(4, 3), train=split_of(draw(5, 4), labels(5, 3)))
    job = Job(study, CHOICES, {}, {"alpha": {}, "beta": {}}, metrics=("loss",))

    task = begin_task(job, linear, HOST)
    *others, answer = task.answers(Chunk(7, np.array([0, 5, index])))

    assert len(others) == 2
    assert scripted.asked == [[0, 5], [index]]
    (point,), (row,) = answer.points, answer.rows(3)
    assert (answer.id, point["index"]) == (7, index)
    assert row[[0, 2]].tolist() == values
    assert (point["status"], point["attempts"]) == (status, 1)
    assert point["seconds"] >= 0


def test_a_cpu_introduces_itself_with_its_vector_extension():
    record = describe_device(torch.device("cpu"), threads=3)[0]
    assert record["host"].decode() == socket.gethostname()
    assert torch.backends.cpu.get_cpu_capability() in record["name"].decode()
    assert (record["uuid"], record["is_cuda"], record["threads"]) == (b"", 0, 3)
    assert record["memory_bytes"] > 1 << 28


def test_a_gpu_that_does_not_work_is_a_user_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"found no working CUDA device.*farm\.device=cpu"):
        open_device("cuda")
    assert open_device("cpu") == torch.device("cpu")


@pytest.mark.slow
def test_an_evaluator_process_answers_with_the_bits_of_an_evaluator(
    child, pipes, study, problem, directions
):
    job = Job(study, CHOICES, problem.hashes, directions, metrics=tuple(study.metrics))
    frames.write_frame(pipes.write_fd, frames.JOB, job.to_bytes())
    twin = Evaluator(problem, job.tensors(), sample_measures(study.metrics, problem), CHOICES)
    grid = Grid.from_config(study.grid)
    for number, points in enumerate([[5, 0, 3], [1]]):  # both are queued at once
        frames.write_frame(pipes.write_fd, frames.CHUNK, Chunk(number, np.array(points)).pack())

    kind, body = frames.read_frame(pipes.read_fd)
    assert kind == frames.HELLO
    assert np.frombuffer(body, DEVICE_RECORD)[0]["threads"] == 2
    kind, body = frames.read_frame(pipes.read_fd)
    seconds, center = unpack_ready(body)
    assert (kind, center.tobytes()) == (frames.READY, twin.evaluate(0.0, 0.0).tobytes())
    assert seconds > 0
    for number, index in [(0, 5), (0, 0), (0, 3), (1, 1)]:
        assert_point(pipes, number, index, twin.evaluate(*grid.point(index)))

    # A second job over the same pipes, at places of its own.
    points = np.array([[0.25, -0.125], [0.0, 0.0]])
    other = dataclasses.replace(job, where=POINTS, points=points)
    frames.write_frame(pipes.write_fd, frames.JOB, other.to_bytes())
    frames.write_frame(pipes.write_fd, frames.CHUNK, Chunk(0, np.array([1, 0])).pack())
    assert frames.read_frame(pipes.read_fd)[0] == frames.READY
    for index in (1, 0):
        assert_point(pipes, 0, index, twin.evaluate(*points[index].tolist()))

    pipes.close("write_fd")
    assert child.wait(LIMIT_S) == 0


def assert_point(pipes, chunk, index, row):
    """The next frame answers this point with this row."""
    kind, body = frames.read_frame(pipes.read_fd)
    answer = Answers.unpack(body)
    (point,) = answer.points
    found = (kind, answer.id, point["index"], point["status"])
    assert found == (frames.POINT, chunk, index, DONE)
    assert answer.rows(len(row))[0].tobytes() == row.tobytes()


def test_a_problem_that_is_known_is_not_read_again(study, problem):
    job = Job(study, CHOICES, problem.hashes, {"alpha": {}, "beta": {}})
    key, first = load_problem(job, None)
    assert load_problem(job, (key, first))[1] is first
    fewer = study.model_copy(
        update={
            "problem": study.problem.model_copy(
                update={"data": study.problem.data.model_copy(update={"samples": 30})}
            )
        }
    )
    other = dataclasses.replace(job, study=fewer, hashes={})
    assert len(load_problem(other, (key, first))[1].splits["train"].targets) == 30


def test_a_task_that_gets_a_block_of_another_is_a_bug(study, problem, directions):
    job = Job(study, CHOICES, problem.hashes, directions, metrics=("loss",))
    with pytest.raises(ValueError, match="expected the values at anchors"):
        begin_task(job, problem, HOST).take(frames.ANCHORS, b"")


def test_a_users_mistake_arrives_as_a_frame(pipes, study, problem, monkeypatch):
    # In this process, which must keep its own arithmetic and its own end.
    monkeypatch.setattr(serve, "configure_torch", lambda: None)
    job = Job(study, CHOICES, problem.hashes | {"center": "another"}, {"alpha": {}, "beta": {}})
    frames.write_frame(pipes.write_fd, frames.JOB, job.to_bytes())
    assert serve.serve_rank(process.parse(pipes.arguments(threads=1))) == 1
    assert frames.read_frame(pipes.read_fd)[0] == frames.HELLO
    kind, text = frames.read_frame(pipes.read_fd)
    assert kind == frames.MISTAKE
    assert f"host {socket.gethostname()} reads another center than rank 0" in text.decode()


def test_a_rank_that_wants_no_more_ends_the_process(pipes, monkeypatch):
    monkeypatch.setattr(serve, "configure_torch", lambda: None)
    pipes.close("write_fd")
    assert serve.serve_rank(process.parse(pipes.arguments(threads=1))) == 0


CONFIGURED = """
import os, sys, torch
from losscape_mpi.task.device import configure_torch
configure_torch()
print(torch.are_deterministic_algorithms_enabled(),
      torch.is_deterministic_algorithms_warn_only_enabled(),
      "torch._dynamo" in sys.modules)
import torch._inductor.config
print(torch._inductor.config.deterministic)
"""


@pytest.mark.slow
def test_arithmetic_is_repeatable_without_the_compilers_import():
    done = subprocess.run(
        [sys.executable, "-c", CONFIGURED], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "True", "False", "True"]
