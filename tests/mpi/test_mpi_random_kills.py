"""Signals to any part of a job at any moment: run again, every file is the same, nothing lives on.

LOSSCAPE_KILLS says how many; each is drawn by its number, so that one can be looked at again.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.store.reader import read_surface, surface_sha256

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

KILLS = int(os.environ.get("LOSSCAPE_KILLS", "6"))
TARGETS = ("job", "mpirun", "master", "worker", "evaluator")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
LAUNCHERS = ("mpich", "openmpi")
MARK = "LOSSCAPE_TEST_JOB"
LATEST_S = 6.0  # of a kill, after the start of the job: it takes about 4 s to start, 2 s to work
ENDED_S = 10.0
MODEL = Path(__file__).with_name("forking_model.py")
STUDY = [
    *("-m", "losscape_mpi.surface", "--output", "out.h5"),
    *("--set", "problem.model='forking_model:build'", "--set", "problem.checkpoint=null"),
    *("--set", "problem.data.splits=[train]", "--set", "problem.data.samples=20"),
    *("--set", "evaluation={batch_size: 64, points_per_pass: 1, fused: false}"),
    *("--set", "grid.alpha=[-1,1,7]", "--set", "grid.beta=[-0.5,1,5]"),
]


class Job:
    """A run under mpirun; all its processes, also those that models start, carry a mark."""

    def __init__(self, launcher, folder):
        self.folder, self.mark = folder, f"{MARK}={folder}".encode()
        with (folder / "log.txt").open("a") as log:
            self.mpirun = subprocess.Popen(
                launcher.command(3, *STUDY),
                cwd=folder,
                env=launcher.environment() | {MARK: str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def processes(self):
        """Command line by process number."""
        found = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                here = Path("/proc") / entry
                if self.mark in (here / "environ").read_bytes().split(b"\0"):
                    found[int(entry)] = (here / "cmdline").read_bytes().replace(b"\0", b" ")
        return found

    def rank(self, number):
        """Process of a rank, None before it lives."""
        marks = {f"OMPI_COMM_WORLD_RANK={number}".encode(), f"PMI_RANK={number}".encode()}
        for pid, command in self.processes().items():
            with contextlib.suppress(OSError):
                variables = set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
                is_rank = b"losscape_mpi.surface" in command and b"mpi" not in command[:90]
                if is_rank and variables & marks:
                    return pid
        return None

    def evaluators(self):
        return [p for p, words in self.processes().items() if b"losscape_mpi.task.process" in words]

    def hit(self, target, number):
        """Send a signal to a part of the job, if there is one yet."""
        with contextlib.suppress(ProcessLookupError):
            if target == "job":
                os.killpg(self.mpirun.pid, number)
                return
            victim = {
                "mpirun": lambda: self.mpirun.pid,
                "master": lambda: self.rank(0),
                "worker": lambda: self.rank(2),
                "evaluator": lambda: next(iter(self.evaluators()), None),
            }[target]()
            if victim is not None:
                os.kill(victim, number)

    def left_alive(self):
        """What lives 10 s after the end of mpirun."""
        deadline = time.monotonic() + ENDED_S
        while (alive := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return alive

    def end(self):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def new_folder(folder):
    folder.mkdir()
    shutil.copy(MODEL, folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = new_folder(tmp_path_factory.mktemp("undisturbed") / "run")
    command = [sys.executable, *STUDY]
    subprocess.run(command, cwd=folder, check=True, timeout=100, capture_output=True)
    return surface_sha256(folder / "out.h5")


def digest(folder):
    try:
        whole = read_surface(folder / "out.h5")
    except UserError:
        return ""  # not created yet
    return surface_sha256(folder / "out.h5") if whole.counts()["pending"] == 0 else ""


@pytest.mark.parametrize("number", range(KILLS))
def test_a_job_that_is_hit_anywhere_leaves_a_sound_file_and_nothing_alive(
    request, tmp_path, undisturbed, number
):
    chance = random.Random(number)
    launcher = request.getfixturevalue(LAUNCHERS[number % 2])
    target, how = TARGETS[number // 2 % 5], chance.choice(SIGNALS)
    folder = new_folder(tmp_path / "run")
    job = Job(launcher, folder)
    try:
        time.sleep(chance.uniform(0.2, LATEST_S))
        job.hit(target, how)
        job.mpirun.wait(timeout=60)
        alive = job.left_alive()
    finally:
        job.end()
    log = (folder / "log.txt").read_text()
    assert alive == {}, f"{target}, {how.name}: {log}"

    for _ in range(2):  # what has failed in a hit run is tried again
        if digest(folder) == undisturbed:
            break
        again = launcher.run(3, *STUDY, cwd=folder, timeout_s=100)

    assert digest(folder) == undisturbed, f"{target}, {how.name}: {log}\n{again.stderr}"
