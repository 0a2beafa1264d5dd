"""An evaluator process that dies, hangs or answers nonsense costs a retry, not the run."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from losscape_mpi.store.reader import read_surface, surface_sha256

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

STUDY = [
    *("-m", "losscape_mpi.surface", "--output", "out.h5"),
    *("--set", "grid.alpha=[-1,1,5]", "--set", "grid.beta=[-0.5,1,4]"),
    *("--set", "problem.model='troubled_model:build'", "--set", "problem.checkpoint=null"),
    *("--set", "problem.data.samples=20", "--set", "farm.point_timeout=3"),
]
CORNERS = [(0, 3), (4, 3)]  # alpha = -1 and 1 at beta = 1


@pytest.fixture
def folder(tmp_path) -> Path:
    shutil.copy(Path(__file__).with_name("troubled_model.py"), tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, repository) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(Path(__file__).with_name("troubled_model.py"), folder)
    python = str(repository / ".venv" / "bin" / "python")
    subprocess.run([python, *STUDY], cwd=folder, check=True, timeout=100, capture_output=True)
    return surface_sha256(folder / "out.h5")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("kill", "killed by signal 9"),
        ("segfault", "killed by signal 11"),
        ("stop", "no answer for 3 s"),
        ("sleep", "no answer for 3 s"),
        ("exit", "exit code 0"),
        ("shape", "expected"),
    ],
)
def test_one_trouble_is_named_and_leaves_no_trace(mpich, folder, undisturbed, kind, reason):
    (folder / "trouble").write_text(f"{kind} 1")
    # A process that dies by itself may need more than 3 s for it, on a machine that others use too.
    patience = [] if "no answer" in reason else ["--set", "farm.point_timeout=60"]

    # One worker: a second one might answer before the retry.
    done = mpich.run(2, *STUDY, *patience, cwd=folder)

    assert done.returncode == 0, done.stderr
    assert surface_sha256(folder / "out.h5") == undisturbed
    (line,) = [line for line in done.stderr.splitlines() if "tried again" in line]
    assert reason in line
    attempts = read_surface(folder / "out.h5").attempts
    assert sorted(attempts.ravel())[-2:] == [1, 2]


def test_an_exception_that_comes_once_leaves_no_trace(mpich, folder, undisturbed):
    # Points that are computed together raise together, and are computed once more one by one.
    (folder / "trouble").write_text("raise 1")

    done = mpich.run(2, *STUDY, cwd=folder)

    assert done.returncode == 0, done.stderr
    assert surface_sha256(folder / "out.h5") == undisturbed
    assert "evaluator process" not in done.stderr  # it lives on


def test_an_idle_worker_answers_for_one_that_hangs(mpich, folder, undisturbed):
    (folder / "trouble").write_text("sleep 1")

    done = mpich.run(3, *STUDY, "--set", "farm.point_timeout=1000", cwd=folder)

    assert done.returncode == 0, done.stderr
    assert surface_sha256(folder / "out.h5") == undisturbed


def test_trouble_under_open_mpi_and_in_a_serial_run_is_survived_too(
    openmpi, repository, folder, undisturbed
):
    (folder / "trouble").write_text("segfault 1")
    done = openmpi.run(2, *STUDY, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert surface_sha256(folder / "out.h5") == undisturbed
    (folder / "out.h5").unlink()
    (folder / "trouble").write_text("segfault 2")

    python = str(repository / ".venv" / "bin" / "python")
    subprocess.run([python, *STUDY], cwd=folder, check=True, timeout=100, capture_output=True)

    assert surface_sha256(folder / "out.h5") == undisturbed


def test_a_point_that_always_fails_is_given_up_and_tried_again_by_the_next_run(
    mpich, folder, undisturbed
):
    (folder / "trouble").write_text("raise 1000")

    done = mpich.run(2, *STUDY, cwd=folder)

    surface = read_surface(folder / "out.h5")
    assert done.returncode == 3, done.stderr
    assert "2 failed" in done.stdout
    assert "ZeroDivisionError: only at a corner" in done.stderr
    assert [tuple(p) for p in np.argwhere(surface.status == 3)] == CORNERS
    assert np.isnan(surface.values["train/loss"][surface.status == 3]).all()
    assert (surface.attempts[surface.status == 3] == 3).all()

    (folder / "trouble").unlink()
    again = mpich.run(2, *STUDY, cwd=folder)

    assert again.returncode == 0, again.stderr
    assert surface_sha256(folder / "out.h5") == undisturbed


def test_a_device_that_always_fails_is_retired_and_the_run_can_go_on(mpich, folder, undisturbed):
    # Every point is a corner here, so that none ever succeeds on any worker; the trial's are not.
    (folder / "trouble").write_text("kill 1000")
    corners = ["--set", "grid.alpha=[-1.8,1.8,2]", "--set", "grid.beta=[-1.8,1.8,4]"]

    done = mpich.run(2, *STUDY, *corners, cwd=folder)

    assert done.returncode == 75, done.stderr
    assert "is retired" in done.stderr
    assert "the loss of all workers" in done.stdout
