"""What the farm's scheduling costs: 64 workers that sleep, measured; 1,024 workers, simulated.

    python -m benchmarks.farm [--workers 64] [--points 200] [--output runs/benchmark_farm.json]

Starts itself under the mpirun beside this Python. Every worker rank runs the farm's own worker
over MPI; only its evaluator is a clock: a point takes 50 ms and no core. Rank 0 runs the farm's
own master and writes every chunk to a surface file. What a message costs it there goes into the
simulation, where the same master drives simulated workers on a simulated clock.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

import numpy as np

from benchmarks.farm_simulation import Costs, answer, simulate
from losscape_mpi.farm.host.launcher import connect, library_name, read_launch
from losscape_mpi.farm.links import RemoteLink
from losscape_mpi.farm.master import Master
from losscape_mpi.farm.stage import Delivery, Stage
from losscape_mpi.farm.start import introductions
from losscape_mpi.farm.worker import serve_master
from losscape_mpi.point.column import columns_from_names
from losscape_mpi.point.frames import CHUNK, HELLO, JOB, READY, Bytes, Frame
from losscape_mpi.point.records import DEVICE_RECORD, Chunk, pack_ready
from losscape_mpi.store.create import create_surface
from losscape_mpi.store.layout import FORMAT, to_json
from losscape_mpi.store.writer import SurfaceWriter
from losscape_mpi.study.grid import axis

POINT_S = 0.05
NAMES = [f"{s}/{c}" for s in ("train", "test") for c in ("loss", "loss_stderr", "nonfinite")]
COLUMNS = columns_from_names(NAMES)
SIMULATED_WORKERS = 1024
SIMULATED = ((0.05, 256), (0.2, 64), (2.0, 64))  # seconds of a point, points for each worker
LIMIT_S = 120
SWEEPS_TO_TIME, WRITES_TO_TIME = 200, 50


def main() -> None:
    options = parse()
    if not read_launch(os.environ).is_launched:
        measured = launch(options)
        show_measured(measured)
        costs = Costs(**measured["costs"])
        simulated = [
            simulate(SIMULATED_WORKERS, points, point_s, costs) for point_s, points in SIMULATED
        ]
        show_simulated(simulated)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps({"run": measured, "simulation": simulated}, indent=1))
        return
    comm = connect()
    if comm.Get_rank() > 0:
        serve_master(comm, SleepingEvaluator(POINT_S))
    else:
        options.output.write_text(json.dumps(measure(comm, options.points)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--points", type=int, default=200, help="for each worker")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmark_farm.json"))
    return parser.parse_args()


def launch(options: argparse.Namespace) -> dict:
    mpirun = str(Path(sys.executable).parent / "mpirun")
    version = subprocess.run([mpirun, "--version"], capture_output=True, text=True, check=True)
    is_open_mpi = "Open MPI" in version.stdout
    flags = ["--oversubscribe", "--bind-to", "none"] if is_open_mpi else []
    as_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [mpirun, *flags, "-n", str(options.workers + 1)]
        command += [sys.executable, "-m", "benchmarks.farm", "--points", str(options.points)]
        command += ["--output", str(result)]
        # One thread for each rank: the numerical libraries would start one for each core.
        environment = os.environ | as_root | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run(command, env=environment, timeout=LIMIT_S, check=True)
        return json.loads(result.read_text())


class SleepingEvaluator:
    """What a worker needs of a supervisor; answers by the clock, as a process beside it would."""

    is_sending = False

    def __init__(self, point_s: float) -> None:
        hello = np.zeros(1, dtype=DEVICE_RECORD)
        self._point_s, self._free = point_s, 0.0
        self._frames = deque([(0.0, (HELLO, hello.tobytes()))])

    def poll(self) -> Frame | None:
        if not self._frames or time.monotonic() < self._frames[0][0]:
            return None
        return self._frames.popleft()[1]

    def send(self, kind: bytes, body: Bytes) -> None:
        if kind == JOB:
            ready = pack_ready(self._point_s, np.zeros(len(COLUMNS)))
            self._frames += [(0.0, (JOB, b"")), (0.0, (READY, ready))]
        if kind != CHUNK:
            return
        chunk = Chunk.unpack(body)
        seconds = np.full(len(chunk.indices), self._point_s)
        self._free = max(self._free, time.monotonic()) + float(seconds.sum())
        self._frames.append((self._free, answer(chunk, seconds, len(COLUMNS))))

    def stop(self) -> None:
        pass


class CountingLink(RemoteLink):
    """A link that counts its chunks."""

    chunks = 0

    def send(self, kind: bytes, body: Bytes = b"") -> None:
        self.chunks += kind == CHUNK
        super().send(kind, body)


class Watch:
    """The callbacks of a run, which writes a surface file, and when they were called."""

    def __init__(self, file: SurfaceWriter) -> None:
        self._file = file
        self.begun = self.cpu = self.write_cpu = 0.0
        self.sweeps = self.writes = 0

    def ready(self, _worker: int, _reference: np.ndarray, _seconds: float) -> None:
        if not self.begun:
            self.begun, self.cpu = time.perf_counter(), time.process_time()
        self._file.add_worker("node", "clock")

    def take(self, delivery: Delivery) -> None:
        start = time.process_time()
        points = np.concatenate([answers.points for _, answers in delivery])
        values = np.concatenate([answers.rows(len(COLUMNS)) for _, answers in delivery])
        workers = np.concatenate([np.full(len(a.points), number) for number, a in delivery])
        point = points["index"], values, points["status"], points["seconds"]
        self._file.write(*point, workers, points["attempts"])
        self.write_cpu += time.process_time() - start
        self.writes += 1

    def stopping(self) -> bool:
        self.sweeps += bool(self.begun)
        return False


def measure(comm, points: int) -> dict:
    workers = comm.Get_size() - 1
    links = [CountingLink(comm, rank) for rank in range(1, workers + 1)]
    master = Master(links)
    with tempfile.TemporaryDirectory() as folder:
        with open_file(Path(folder) / "surface.h5", workers, points) as file:
            watch = Watch(file)
            introductions(master.members, lambda: False)
            master.begin(b"job")
            everything = Stage(np.arange(workers * points), watch.take)
            master.run([everything], watch.ready, watch.stopping)
            makespan_s = time.perf_counter() - watch.begun
            cpu_s = time.process_time() - watch.cpu
            write_s, point_s = time_writes(file)
        poll_s = time_polls(master)
        master.stop()
    chunks = sum(link.chunks for link in links)
    return {
        "mpi": library_name(comm),
        "workers": workers,
        "points": workers * points,
        "makespan_s": makespan_s,
        "ideal_s": points * POINT_S,
        "overhead": makespan_s / (points * POINT_S) - 1,
        "master_share": cpu_s / makespan_s,
        "file_share": watch.write_cpu / makespan_s,
        "chunks": chunks,
        "sweeps": watch.sweeps,
        "writes": watch.writes,
        "costs": {
            "poll_s": poll_s,
            "chunk_s": (cpu_s - watch.write_cpu - watch.sweeps * workers * poll_s) / chunks,
            "write_s": write_s,
            "point_s": point_s,
        },
    }


def open_file(path: Path, workers: int, points: int) -> SurfaceWriter:
    grid = {"alpha": [-1, 1, workers], "beta": [-1, 1, points]}
    axes = {name: axis(*ends) for name, ends in grid.items()}
    manifest = {"format": FORMAT, "study": {"grid": grid}, "fingerprint": "0" * 64, "splits": {}}
    create_surface(path, to_json(manifest), to_json({}), axes, COLUMNS, {})
    file = SurfaceWriter(path)
    file.start_run(time.time(), "node", os.getpid(), "")
    return file


def time_polls(master: Master) -> float:
    """Seconds of CPU that looking at one worker costs when it has nothing to say."""
    start = time.process_time()
    for _ in range(SWEEPS_TO_TIME):
        for member in master.members:
            member.attempt(member.hear)
    return (time.process_time() - start) / (SWEEPS_TO_TIME * len(master.members))


def time_writes(file: SurfaceWriter) -> tuple[float, float]:
    """Seconds of CPU that a write costs: by itself, and for each of its points."""
    cost = {}
    for count in (1, file.shape[0]):
        index, ones = np.arange(count), np.ones(count)
        values = np.zeros((count, len(COLUMNS)))
        start = time.process_time()
        for _ in range(WRITES_TO_TIME):
            file.write(index, values, ones, ones, np.zeros(count), ones)
        cost[count] = (time.process_time() - start) / WRITES_TO_TIME
    point_s = (cost[file.shape[0]] - cost[1]) / (file.shape[0] - 1)
    return cost[1], max(point_s, 0.0)  # noise may be larger than it


def show_measured(run: dict) -> None:
    costs = {name: seconds * 1e6 for name, seconds in run["costs"].items()}
    print(f"{run['mpi']}, {run['workers']} workers, {run['points']} points of {POINT_S * 1e3:g} ms")
    print(f"  makespan {run['makespan_s']:.3f} s, ideal {run['ideal_s']:.3f} s")
    print(f"  scheduling overhead   {run['overhead']:.2%}")
    print(f"  master, share of core {run['master_share']:.2%}, its file {run['file_share']:.2%}")
    print(f"  {run['sweeps']} looks at all workers, {costs['poll_s']:.2f} us for each worker")
    print(f"  {run['chunks']} chunks, {costs['chunk_s']:.0f} us each")
    print(
        f"  {run['writes']} writes, {costs['write_s']:.0f} us + {costs['point_s']:.1f} us a point"
    )


def show_simulated(rows: list[dict]) -> None:
    print(f"simulated: {SIMULATED_WORKERS} workers")
    print("  s per point  points  makespan s  ideal s  overhead  master  chunks")
    for row in rows:
        print(
            f"  {row['point_s']:>11g}  {row['points']:>6}  {row['makespan_s']:>10.2f}"
            f"  {row['ideal_s']:>7.2f}"
            f"  {row['overhead']:>8.2%}  {row['master_share']:>6.1%}  {row['chunks']:>6}"
        )


if __name__ == "__main__":
    main()
