"""A mistake ends the whole job with one line, a bug with its traceback; nothing hangs."""

import os
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

SMALL = ["--set", "grid.alpha=[-1,1,5]", "--set", "grid.beta=[-1,1,3]", "-o", "out.h5"]
SURFACE = ["-m", "losscape_mpi.surface", *SMALL]
MISTAKE_MARK = "losscape_mpi: "


def our_lines(done: subprocess.CompletedProcess) -> list[str]:
    """The lines that losscape_mpi wrote; mpirun adds banners of its own."""
    return [line for line in done.stderr.splitlines() if line.startswith(MISTAKE_MARK)]


def test_a_mistake_is_one_line_from_one_rank(launcher, tmp_path):
    done = launcher.run(3, *SURFACE, "--set", "plane.sed=1", cwd=tmp_path)

    assert done.returncode == 1
    assert len(our_lines(done)) == 1
    assert "plane.seed" in our_lines(done)[0]
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_that_only_evaluators_can_find_is_one_line(launcher, tmp_path):
    (tmp_path / "dropping.py").write_text(DROPOUT_MODEL)

    done = launcher.run(3, *SURFACE, *DROPOUT_STUDY, cwd=tmp_path)

    assert done.returncode == 1, done.stderr
    assert len(our_lines(done)) == 1, done.stderr
    assert "different outputs for the same samples" in our_lines(done)[0]
    assert not (tmp_path / "out.h5").exists()


def test_an_exception_in_an_evaluator_ends_the_job_with_its_traceback(launcher, tmp_path):
    (tmp_path / "failing.py").write_text(FAILING_MODEL)

    start = time.monotonic()
    done = launcher.run(3, *SURFACE, *FAILING_STUDY, cwd=tmp_path)

    assert done.returncode != 0
    assert "ZeroDivisionError: only far from the center" in done.stderr
    assert "evaluator process" in done.stderr
    assert time.monotonic() - start < 100


def test_an_exception_in_the_master_ends_the_job_with_its_traceback(launcher, tmp_path):
    (tmp_path / "exploding.py").write_text(EXPLODING_DATA)

    done = launcher.run(3, *SURFACE, "--set", "problem.data={name: 'exploding:load'}", cwd=tmp_path)

    assert done.returncode != 0
    assert "KeyError: 'a bug of the user'" in done.stderr


@pytest.mark.parametrize(("mpirun", "python"), [("openmpi", "mpich"), ("mpich", "openmpi")])
def test_the_mpirun_of_another_mpi_is_refused_in_one_line(request, tmp_path, mpirun, python):
    starter, other = request.getfixturevalue(mpirun), request.getfixturevalue(python)
    command = starter.command(3, *SURFACE)
    command[command.index(starter.python)] = other.python

    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=starter.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert len(our_lines(done)) == 1, done.stderr
    assert "use the mpirun" in our_lines(done)[0]
    assert not (tmp_path / "out.h5").exists()


def test_help_is_printed_once(launcher, tmp_path):
    done = launcher.run(3, "-m", "losscape_mpi.surface", "--help", cwd=tmp_path)

    assert done.returncode == 0
    assert done.stdout.count("usage:") == 1


def test_no_evaluator_outlives_a_killed_job(mpich, tmp_path):
    (tmp_path / "slow.py").write_text(SLOW_MODEL)
    process = subprocess.Popen(
        mpich.command(3, *SURFACE, *SLOW_STUDY),
        cwd=tmp_path,
        env=mpich.environment(),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(evaluators_in(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(evaluators_in(tmp_path)) == 2

    os.killpg(process.pid, 9)
    process.wait(timeout=10)

    deadline = time.monotonic() + 10
    while evaluators_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert evaluators_in(tmp_path) == []


def evaluators_in(folder) -> list[int]:
    """Process numbers of evaluators whose current folder is this one."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            command = Path(f"/proc/{entry}/cmdline").read_bytes()
            here = os.readlink(f"/proc/{entry}/cwd")
        except (OSError, NotADirectoryError):
            continue
        if b"losscape_mpi.task.process" in command and here == str(folder):
            found.append(int(entry))
    return found


MODEL_STUDY = ["--set", "problem.checkpoint=null", "--set", "problem.data.samples=50"]
DROPOUT_STUDY = [*MODEL_STUDY, "--set", "problem.model='dropping:build'"]
FAILING_STUDY = [*MODEL_STUDY, "--set", "problem.model='failing:build'"]
SLOW_STUDY = [*MODEL_STUDY, "--set", "problem.model='slow:build'"]

DROPOUT_MODEL = """
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        return self.linear(F.dropout(x.flatten(1), 0.5, training=True))

def build():
    return Net()
"""

FAILING_MODEL = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.start = self.linear.weight.detach().clone()

    def forward(self, x):
        if (self.linear.weight - self.start).abs().max() > 0:
            raise ZeroDivisionError("only far from the center")
        return self.linear(x.flatten(1))

def build():
    return Net()
"""

EXPLODING_DATA = """
def load(split):
    raise KeyError("a bug of the user")
"""

SLOW_MODEL = """
import time
from pathlib import Path
from torch import nn

class Net(nn.Sequential):
    def forward(self, x):
        time.sleep(0.5)
        return super().forward(x)

def build():
    return Net(nn.Flatten(), nn.Linear(64, 10))
"""
