"""SIGKILL of whole runs at random moments: run again to the end, every file is the same."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from logging_model import POINT_S

from losscape_mpi.farm.chunk_size import CHUNK_TARGET_S
from losscape_mpi.farm.ledger import QUEUED_CHUNKS
from losscape_mpi.store.reader import read_surface, surface_sha256

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

KILLS = 14  # for each way to start a run; 42 in all
KILLS_PER_FILE = 5
WORKERS = 2
SHAPE = (13, 9)
TOTAL = SHAPE[0] * SHAPE[1]
STUDY = [
    *("-m", "losscape_mpi.surface", "--output", "out.h5"),
    *("--set", "problem.model='logging_model:build'", "--set", "problem.checkpoint=null"),
    *("--set", "problem.data.splits=[train]", "--set", "problem.data.samples=20"),
    # Nothing to measure: every point that is evaluated is counted.
    *("--set", "evaluation={batch_size: 64, points_per_pass: 1, fused: false}"),
    # The center is no point of this grid.
    *("--set", f"grid.alpha=[-1,1,{SHAPE[0]}]", "--set", f"grid.beta=[-0.5,1,{SHAPE[1]}]"),
]
MODEL = Path(__file__).with_name("logging_model.py")


class Way:
    """One way to start a run: without MPI, or by the mpirun of one implementation."""

    def __init__(self, name, command, environment, workers):
        self.name, self.command, self.environment = name, command, environment
        self.workers = workers
        # What the farm's rules allow: no message asks for more than a second of work.
        self.most_lost = workers * QUEUED_CHUNKS * int(CHUNK_TARGET_S / POINT_S)

    def start(self, folder):
        with (folder / "log.txt").open("a") as log:
            return subprocess.Popen(
                self.command,
                cwd=folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def finish(self, folder):
        """Run to the end; returns the hash of the file."""
        code = self.start(folder).wait(timeout=120)
        assert code == 0, (folder / "log.txt").read_text()
        return surface_sha256(folder / "out.h5")


@dataclass(frozen=True)
class Undisturbed:
    """A serial run that nothing happened to: its hash, and how long it took to start and work.

    `checked` points are computed a second time at the end of every run.
    """

    digest: str
    start_s: float
    work_s: float
    checked: int


def serial_way(repository):
    python = str(repository / ".venv" / "bin" / "python")
    return Way("serial", [python, *STUDY], dict(os.environ), 1)


@pytest.fixture(params=["serial", "mpich", "openmpi"])
def way(request, repository):
    if request.param == "serial":
        return serial_way(repository)
    launcher = request.getfixturevalue(request.param)
    command = launcher.command(1 + WORKERS, *STUDY)
    return Way(launcher.name, command, launcher.environment(), WORKERS)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, repository):
    folder = new_folder(tmp_path_factory.mktemp("undisturbed") / "run")
    begin = time.monotonic()
    process = serial_way(repository).start(folder)
    first_point(process, folder, 0)
    start_s = time.monotonic() - begin
    assert process.wait(timeout=120) == 0, (folder / "log.txt").read_text()
    assert len(set(evaluated(folder))) == TOTAL
    work_s = time.monotonic() - begin - start_s
    return Undisturbed(
        surface_sha256(folder / "out.h5"), start_s, work_s, len(evaluated(folder)) - TOTAL
    )


def new_folder(folder):
    folder.mkdir()
    shutil.copy(MODEL, folder)
    return folder


def evaluated(folder):
    """One line for each point that any evaluator has finished, in order."""
    try:
        return (folder / "evaluated").read_text().splitlines()
    except FileNotFoundError:
        return []


def num_done(folder):
    """Points that a resumed run will not compute; a damaged file raises."""
    if not (folder / "out.h5").exists():
        return 0
    return read_surface(folder / "out.h5").counts()["done"]


def processes_in(folder):
    """Process numbers of everything that runs in a folder: launcher, ranks, evaluators."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{entry}/cwd") == str(folder):
                found.append(int(entry))
    return found


def kill_all(process, folder):
    """Kill a whole run; nothing of it survives."""
    deadline = time.monotonic() + 10
    os.killpg(process.pid, signal.SIGKILL)
    while alive := processes_in(folder):
        assert time.monotonic() < deadline, f"processes {alive} survive"
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.wait(timeout=10)


def first_point(process, folder, known):
    """Wait until a run has finished its first point, or is over."""
    while process.poll() is None and len(evaluated(folder)) == known:
        time.sleep(0.01)


def disturb(way, folder, moment_s, is_working):
    """Start a run and kill it; returns how many points that cost, None if it ended before.

    The moment counts from the run's start, or from its first point if it shall be working.
    """
    known, kept = len(evaluated(folder)), num_done(folder)
    process = way.start(folder)
    if is_working:
        first_point(process, folder, known)
    try:
        code = process.wait(timeout=moment_s)
    except subprocess.TimeoutExpired:
        kill_all(process, folder)
        return len(set(evaluated(folder)[known:])) - (num_done(folder) - kept)
    assert code == 0, (folder / "log.txt").read_text()
    return None


def test_killed_runs_end_in_the_bytes_of_an_undisturbed_one(way, undisturbed, tmp_path, capsys):
    moments = random.Random(way.name)
    lost, files, twice = [], 0, 0
    while len(lost) < KILLS:
        folder = new_folder(tmp_path / f"killed{files}")
        for _ in range(min(KILLS_PER_FILE, KILLS - len(lost))):
            is_working = len(lost) % 2 == 1
            life_s = undisturbed.work_s * (1 - num_done(folder) / TOTAL) / way.workers
            life_s += 0 if is_working else undisturbed.start_s
            cost = disturb(way, folder, moments.uniform(0, life_s), is_working)
            if cost is None:
                break
            lost.append(cost)
        assert way.finish(folder) == undisturbed.digest
        files += 1
        twice += len(evaluated(folder)) - TOTAL - undisturbed.checked
    with capsys.disabled():
        print(
            f"\n{way.name}, {way.workers} workers: {len(lost)} kills of {files} files, all with "
            f"the undisturbed hash; points lost per kill {sorted(lost)}, allowed {way.most_lost}; "
            f"{twice} of {files * TOTAL} points were computed again"
        )
    assert max(lost) <= way.most_lost + undisturbed.checked
