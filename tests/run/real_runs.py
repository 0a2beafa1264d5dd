"""Real runs of `losscape_mpi.surface` in subprocesses, to be stopped and killed."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.store.reader import read_surface

LIMIT_S = 200
HERE = Path(__file__).parent


def command(repository, *arguments, ranks=0):
    """The command line of a run with so many ranks; 0 is one without MPI."""
    words = ["-m", "losscape_mpi.surface", *map(str, arguments)]
    if not ranks:
        return [sys.executable, *words]
    folder = repository / ".venv" / "bin"
    if not (folder / "mpirun").exists():
        pytest.skip("needs .venv with mpich, which `make install-dev` makes")
    return [str(folder / "mpirun"), "-n", str(ranks), str(folder / "python"), *words]


def environment():
    """The metrics of this folder can be imported by name."""
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def run(line, folder):
    """Run to the end; returns exit code and all that was said."""
    done = subprocess.run(
        line,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def interrupted(line, folder, output, wanted, number=signal.SIGINT):
    """Run until so many points are stored, then send a signal to the whole job."""
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            line, cwd=folder, env=environment(), stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + LIMIT_S
    try:
        while done(output) < wanted:
            assert process.poll() is None, (folder / "log.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
    return process.wait(LIMIT_S)


def done(output):
    """Points that the file holds; 0 before there is one."""
    try:
        return read_surface(output).counts()["done"]
    except UserError:
        return 0
