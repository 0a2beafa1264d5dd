"""The evaluator process: its pieces in this process, and the whole over real pipes."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from losscape_mpi.study.columns import value_columns

from losscape_mpi import wire
from losscape_mpi.errors import UserError
from losscape_mpi.evaluation import process
from losscape_mpi.evaluation.choices import Choices
from losscape_mpi.evaluation.evaluator import Evaluator
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.problem.build import build_problem
from losscape_mpi.store import layout
from losscape_mpi.study.grid import Grid
from losscape_mpi.study.load import load_study
from losscape_mpi.task.job import Job
from losscape_mpi.task.process import answer_points, describe_device, open_device

CHOICES = Choices(16, "channels_last")
LIMIT_S = 60


class Scripted:
    """An evaluator whose values tell which point was asked for."""

    group = 2

    def evaluate_many(self, points):
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
    [(4, [2.0, 5.0], layout.DONE), (1, [-1.0, np.inf], layout.NONFINITE)],
)
def test_an_answer_carries_the_point_that_was_asked_for(index, values, status):
    grid = Grid(np.array([-1.0, 0.0, 2.0]), np.array([5.0, np.inf]))
    columns = ["train/loss", "train/loss_stderr", "train/nonfinite"]
    asked = np.array([0, 5, index])
    *_others, answer = answer_points(asked, Scripted(), grid, columns)
    assert len(_others) == 2
    point = answer[0]
    assert point["index"] == index
    assert point["values"][[0, 2]].tolist() == values
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


def test_an_evaluator_process_answers_with_the_bits_of_an_evaluator(
    child, pipes, study, problem, directions
):
    job = Job(study, CHOICES, problem.hashes, directions)
    wire.write_frame(pipes.write_fd, wire.JOB, job.to_bytes())
    twin = Evaluator(problem, job.tensors(), study.metrics, CHOICES)
    grid, columns = Grid.from_config(study.grid), value_columns(["train", "test"], study.metrics)
    for number, points in enumerate([[5, 0, 3], [1]]):  # both are queued at once
        record = wire.chunk_of(number, np.array(points))
        wire.write_frame(pipes.write_fd, wire.CHUNK, record.tobytes())

    kind, body = wire.read_frame(pipes.read_fd)
    assert kind == wire.HELLO
    assert np.frombuffer(body, wire.DEVICE_RECORD)[0]["threads"] == 2
    kind, body = wire.read_frame(pipes.read_fd)
    assert (kind, body[8:]) == (wire.READY, twin.evaluate(0.0, 0.0).tobytes())
    assert np.frombuffer(body[:8])[0] > 0  # seconds
    for index in [5, 0, 3, 1]:
        kind, body = wire.read_frame(pipes.read_fd)
        point = np.frombuffer(body, wire.point_record(len(columns)))[0]
        assert (kind, point["index"], point["status"]) == (wire.POINT, index, layout.DONE)
        assert point["values"].tobytes() == twin.evaluate(*grid.point(index)).tobytes()

    pipes.close("write_fd")
    assert child.wait(LIMIT_S) == 0


def test_a_users_mistake_arrives_as_a_frame(pipes, study, problem, monkeypatch):
    # In this process, which must keep its own arithmetic and its own end.
    monkeypatch.setattr(process, "configure_torch", lambda: None)
    monkeypatch.setattr(process, "die_with_parent", lambda: None)
    job = Job(study, CHOICES, problem.hashes | {"center": "another"}, {"alpha": {}, "beta": {}})
    wire.write_frame(pipes.write_fd, wire.JOB, job.to_bytes())
    assert process.main(pipes.arguments(threads=1)) == 1
    assert wire.read_frame(pipes.read_fd)[0] == wire.HELLO
    kind, text = wire.read_frame(pipes.read_fd)
    assert kind == wire.MISTAKE
    assert f"host {socket.gethostname()} reads another center than rank 0" in text.decode()


def test_a_rank_that_wants_no_more_ends_the_process(pipes, monkeypatch):
    monkeypatch.setattr(process, "configure_torch", lambda: None)
    monkeypatch.setattr(process, "die_with_parent", lambda: None)
    pipes.close("write_fd")
    assert process.main(pipes.arguments(threads=1)) == 0


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
