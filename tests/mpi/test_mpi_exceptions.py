"""An exception anywhere ends the whole job, soon, and its reason is the last thing we say."""

import re
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

SURFACE = [
    *("-m", "losscape_mpi.surface", "-o", "out.h5", "--set", "problem.data.samples=50"),
    *("--set", "grid.alpha=[-1,1,9]", "--set", "grid.beta=[-1,1,9]"),
]
LIMIT_S = 60  # a hang would last for ever; the start alone takes some seconds on a busy machine

# Python imports sitecustomize by itself: the one way into a rank without a hook in the package.
INJECTION = """
import os, sys

rank = os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK"))
if rank == "{rank}":
    import {module} as module

    def fail(*arguments, **keywords):
        raise ZeroDivisionError("injected into {where}")

    setattr(module{owner}, "{name}", fail)
"""

PLACES = {
    "the master's loop": (0, "losscape_mpi.farm.master", ".Master", "_handle"),
    "the master's file": (0, "losscape_mpi.store.writer", ".SurfaceWriter", "write"),
    "the master's start": (0, "losscape_mpi.run.prepare", "", "build_problem"),
    "a worker's loop": (1, "losscape_mpi.farm.worker", "._Shuttle", "_forward"),
    "a worker's start": (1, "losscape_mpi.farm.crew", "", "start_evaluator"),
}


def run(launcher, folder: Path, *more: str) -> tuple[subprocess.CompletedProcess, float]:
    environment = launcher.environment() | {"PYTHONPATH": str(folder)}
    start = time.monotonic()
    done = subprocess.run(
        launcher.command(3, *SURFACE, *more),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done, time.monotonic() - start


def reasons(done: subprocess.CompletedProcess) -> list[str]:
    """The reasons that Python gave; launchers add frames and banners of their own after them."""
    lines = done.stderr.splitlines()
    return [line for line in lines if re.match(r"[\w.]*Error: ", line)]


@pytest.mark.parametrize("where", PLACES)
def test_an_exception_in_a_rank_ends_the_job(launcher, tmp_path, where):
    rank, module, owner, name = PLACES[where]
    code = INJECTION.format(rank=rank, module=module, owner=owner, name=name, where=where)
    (tmp_path / "sitecustomize.py").write_text(code)

    done, seconds = run(launcher, tmp_path)

    print(f"{launcher.name}, {where}: {seconds:.1f} s")
    assert done.returncode != 0
    assert reasons(done)[-1] == f"ZeroDivisionError: injected into {where}", done.stderr


BROKEN = """
import sys
from torch import nn
from losscape_mpi.problem.loss import cross_entropy

IS_EVALUATOR = sys.argv[0].endswith("process.py")
if IS_EVALUATOR and "{place}" == "import":
    raise ImportError("injected into the import")


def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def loss(outputs, targets):
    if IS_EVALUATOR and "{place}" == "metric":
        raise ArithmeticError("injected into the metric")
    return cross_entropy(outputs, targets)
"""


@pytest.mark.parametrize(("place", "error"), [("import", "ImportError"), ("metric", "Arithmetic")])
def test_an_exception_in_every_evaluator_ends_the_job(launcher, tmp_path, place, error):
    (tmp_path / "broken.py").write_text(BROKEN.format(place=place))
    own = ["problem.model='broken:build'", "problem.loss='broken:loss'", "problem.checkpoint=null"]

    done, seconds = run(launcher, tmp_path, *(word for s in own for word in ("--set", s)))

    print(f"{launcher.name}, {place} of an evaluator: {seconds:.1f} s")
    assert done.returncode != 0
    lines = reasons(done)
    assert any(line.startswith(error) and "injected" in line for line in lines), done.stderr
    assert "evaluator process" in lines[-1]
    assert not (tmp_path / "out.h5").exists()
