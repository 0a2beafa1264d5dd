"""A worker rank is killed: with ULFM the run goes on, without it the job ends and can be rerun."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.store.reader import read_surface, surface_sha256

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

STUDY = [
    *("-m", "losscape_mpi.surface", "--output", "out.h5"),
    *("--set", "grid.alpha=[-1,1,25]", "--set", "grid.beta=[-1,1,13]"),
]
TOTAL = 25 * 13


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, repository) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    python = str(repository / ".venv" / "bin" / "python")
    subprocess.run([python, *STUDY], cwd=folder, check=True, timeout=200, capture_output=True)
    return surface_sha256(folder / "out.h5")


def start(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen:
    with open(folder / "log.txt", "w") as log:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )


def done_points(folder: Path) -> int:
    try:
        return read_surface(folder / "out.h5").counts()["done"]
    except UserError:
        return 0


def wait_for_points(process: subprocess.Popen, folder: Path, wanted: int) -> None:
    deadline = time.monotonic() + 120
    while done_points(folder) < wanted:
        log = (folder / "log.txt").read_text()
        assert process.poll() is None, log
        assert time.monotonic() < deadline, log
        time.sleep(0.02)


def rank_process(folder: Path, rank: int) -> int:
    """Process number of an MPI rank whose current folder is this one."""
    for entry in Path("/proc").iterdir():
        try:
            here = os.readlink(entry / "cwd")
            words = (entry / "cmdline").read_bytes().split(b"\0")
            variables = (entry / "environ").read_bytes().split(b"\0")
        except (OSError, NotADirectoryError):
            continue
        marks = {f"OMPI_COMM_WORLD_RANK={rank}".encode(), f"PMI_RANK={rank}".encode()}
        if here == str(folder) and b"losscape_mpi.surface" in words and marks & set(variables):
            return int(entry.name)
    raise AssertionError(f"rank {rank} not found")


@pytest.mark.parametrize("victims", [[2], [3, 1]])
def test_with_ulfm_the_survivors_finish_the_run(openmpi, tmp_path, undisturbed, victims):
    command = openmpi.command(4, *STUDY)
    command[1:1] = ["--with-ft", "ulfm"]

    process = start(command, tmp_path, openmpi.environment())
    for number, rank in enumerate(victims):
        wait_for_points(process, tmp_path, 20 + 40 * number)
        os.kill(rank_process(tmp_path, rank), signal.SIGKILL)
    process.wait(timeout=120)

    log = (tmp_path / "log.txt").read_text()
    assert process.returncode == 0, log
    assert surface_sha256(tmp_path / "out.h5") == undisturbed
    for rank in victims:
        assert f"rank {rank} on" in log
        assert "is lost, its points go to others" in log


def test_without_ulfm_the_job_ends_at_once_and_a_rerun_completes(mpich, tmp_path, undisturbed):
    process = start(mpich.command(3, *STUDY), tmp_path, mpich.environment())
    wait_for_points(process, tmp_path, 20)
    os.kill(rank_process(tmp_path, 2), signal.SIGKILL)
    process.wait(timeout=10)
    kept = done_points(tmp_path)
    assert process.returncode != 0
    assert 20 <= kept < TOTAL

    again = mpich.run(3, *STUDY, cwd=tmp_path, timeout_s=200)

    assert again.returncode == 0, again.stderr
    assert surface_sha256(tmp_path / "out.h5") == undisturbed
