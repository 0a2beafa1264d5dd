"""Ctrl-C in the middle, run again: only the missing points, the same bytes."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.store.reader import read_activity, read_surface

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

STUDY = [
    *("-m", "losscape_mpi.surface", "--output", "out.h5"),
    *("--set", "grid.alpha=[-1,1,21]", "--set", "grid.beta=[-1,1,11]"),
]
TOTAL = 21 * 11


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, repository):
    from losscape_mpi.store.reader import surface_sha256

    folder = tmp_path_factory.mktemp("undisturbed")
    python = str(repository / ".venv" / "bin" / "python")
    subprocess.run([python, *STUDY], cwd=folder, check=True, timeout=200, capture_output=True)
    return surface_sha256(folder / "out.h5")


def wait_until_some_are_done(process: subprocess.Popen, file: Path, wanted: int) -> None:
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if read_surface(file).counts()["done"] >= wanted:
                return
        except UserError:
            pass  # not created yet
        time.sleep(0.05)
    raise AssertionError(f"no point was stored (exit code {process.poll()})")


def interrupt(command: list[str], cwd: Path, env: dict[str, str]) -> subprocess.Popen:
    """Start a run and send SIGINT to its whole group, as a terminal's Ctrl-C does."""
    with open(cwd / "log.txt", "w") as log:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=log, stderr=log, start_new_session=True
        )
    wait_until_some_are_done(process, cwd / "out.h5", 10)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=30)
    return process


def test_an_interrupted_serial_run_goes_on_where_it_stopped(
    repository, undisturbed, hash_of, tmp_path
):
    python = str(repository / ".venv" / "bin" / "python")
    process = interrupt([python, *STUDY], tmp_path, dict(os.environ))
    stopped = read_surface(tmp_path / "out.h5")
    assert process.returncode == 75
    assert "run the same command again" in (tmp_path / "log.txt").read_text()
    assert 10 <= stopped.counts()["done"] < TOTAL

    subprocess.run([python, *STUDY], cwd=tmp_path, check=True, timeout=200, capture_output=True)

    finished = read_surface(tmp_path / "out.h5")
    kept = stopped.status > 0
    assert hash_of(tmp_path / "out.h5") == undisturbed
    assert (finished.seconds[kept] == stopped.seconds[kept]).all()  # not computed again


def test_an_interrupted_mpi_run_goes_on_where_it_stopped(launcher, undisturbed, hash_of, tmp_path):
    interrupt(launcher.command(3, *STUDY), tmp_path, launcher.environment())
    stopped = read_surface(tmp_path / "out.h5")
    assert 10 <= stopped.counts()["done"] < TOTAL

    done = launcher.run(4, *STUDY, cwd=tmp_path, timeout_s=200)

    assert done.returncode == 0, done.stderr
    assert read_activity(tmp_path / "out.h5").progress["runs"] == 2
    finished = read_surface(tmp_path / "out.h5")
    kept = stopped.status > 0
    assert hash_of(tmp_path / "out.h5") == undisturbed
    assert (finished.seconds[kept] == stopped.seconds[kept]).all()
