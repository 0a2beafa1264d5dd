"""Real MPI jobs in subprocesses; pytest itself never loads MPI."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from losscape_mpi.store.reader import surface_sha256

ENVIRONMENTS = {"mpich": ".venv", "openmpi": ".venv-openmpi"}


@dataclass(frozen=True)
class Launcher:
    """One MPI implementation with the Python that uses it."""

    name: str
    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def command(self, ranks: int, *arguments: str) -> list[str]:
        mpirun = [str(self.folder / "bin" / "mpirun"), "-n", str(ranks)]
        if self.name == "openmpi":
            mpirun += ["--oversubscribe", "--bind-to", "none"]
        return [*mpirun, self.python, *arguments]

    def environment(self) -> dict[str, str]:
        as_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        return os.environ | as_root | {"PYTHONUNBUFFERED": "1"}

    def run(
        self, ranks: int, *arguments: str, cwd: Path, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(ranks, *arguments),
            cwd=cwd,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


def _launcher(repository: Path, name: str) -> Launcher:
    folder = repository / ENVIRONMENTS[name]
    if not (folder / "bin" / "mpirun").exists():
        pytest.skip(f"needs {ENVIRONMENTS[name]} with {name}, which `make install-dev` makes")
    return Launcher(name, folder)


@pytest.fixture(params=list(ENVIRONMENTS))
def launcher(request, repository) -> Launcher:
    """Each MPI implementation in turn."""
    return _launcher(repository, request.param)


@pytest.fixture
def mpich(repository) -> Launcher:
    return _launcher(repository, "mpich")


@pytest.fixture
def openmpi(repository) -> Launcher:
    return _launcher(repository, "openmpi")


@pytest.fixture(scope="session")
def small_digits(tmp_path_factory, repository) -> tuple[list[str], str]:
    """Arguments of a small study and the hash that its serial run gives."""
    folder = tmp_path_factory.mktemp("serial")
    arguments = [
        "-m",
        "losscape_mpi.surface",
        *("--set", "grid.alpha=[-1,1,5]", "--set", "grid.beta=[-0.5,1,3]"),
        *("--set", "problem.data.samples=100", "--output", "out.h5"),
    ]
    python = str(repository / ".venv" / "bin" / "python")
    subprocess.run([python, *arguments], cwd=folder, check=True, timeout=120, capture_output=True)
    return arguments, surface_sha256(folder / "out.h5")


@pytest.fixture
def hash_of() -> Callable[[Path], str]:
    return surface_sha256
