"""The farm's own master over simulated workers, on a simulated clock."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from losscape_mpi.farm.master import Master
from losscape_mpi.farm.stage import Delivery, Stage
from losscape_mpi.farm.start import introductions
from losscape_mpi.farm.waiting import WORKER_WAIT_S
from losscape_mpi.point.frames import CHUNK, HELLO, JOB, READY, RESULT, Bytes, Frame
from losscape_mpi.point.records import DEVICE_RECORD, POINT_RECORD, Answers, Chunk, pack_ready
from losscape_mpi.point.status import DONE

NUM_COLUMNS = 1
NOISE = 0.1  # of the time of a point, lognormal


@dataclass(frozen=True)
class Costs:
    """Seconds of the master's core.

    Attributes:
        poll_s: Looking at a worker once.
        chunk_s: Taking the answer of a chunk and sending another one.
        write_s: Writing to the file once.
        point_s: Each point that is written.
    """

    poll_s: float
    chunk_s: float
    write_s: float
    point_s: float


class World:
    """Time, chance, and how long each point takes."""

    def __init__(self, point_times: np.ndarray, costs: Costs) -> None:
        self.point_times, self.costs = point_times, costs
        self.chance = np.random.default_rng(1)
        self.now = self.busy_s = 0.0
        self.chunks = 0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def spend(self, seconds: float) -> None:
        """Let the master work: time passes, and its core is busy."""
        self.now += seconds
        self.busy_s += seconds

    def delay(self) -> float:
        """How long a worker takes to notice something: it looks every few milliseconds."""
        return float(self.chance.uniform(0.0, WORKER_WAIT_S))


def answer(chunk: Chunk, seconds: np.ndarray, num_columns: int) -> Frame:
    """Return the frame of a chunk's answers: rows of zeros that took some seconds each."""
    points = np.zeros(len(chunk.indices), dtype=POINT_RECORD)
    points["index"], points["seconds"] = chunk.indices, seconds
    points["status"], points["attempts"], points["size"] = DONE, 1, 8 * num_columns
    return RESULT, Answers(chunk.id, points, bytes(int(points["size"].sum()))).pack()


class SimulatedLink:
    """A worker with one running and one queued chunk."""

    is_remote = True

    def __init__(self, number: int, world: World) -> None:
        self.name, self._world = f"rank {number + 1}", world
        self.stopped = self.is_lost = False
        self._free = 0.0
        hello = np.zeros(1, dtype=DEVICE_RECORD).tobytes()
        self._frames = deque([(0.0, (HELLO, hello))])

    def poll(self) -> Frame | None:
        self._world.spend(self._world.costs.poll_s)
        if not self._frames or self._world.now < self._frames[0][0]:
            return None
        frame = self._frames.popleft()[1]
        if frame[0] == RESULT:
            self._world.spend(self._world.costs.chunk_s)
            self._world.chunks += 1
        return frame

    def send(self, kind: bytes, body: Bytes = b"") -> None:
        if kind == JOB:
            ready = pack_ready(0.0, np.zeros(NUM_COLUMNS))
            self._frames += [(0.0, (JOB, b"")), (0.0, (READY, ready))]
        elif kind == CHUNK:
            self._compute(Chunk.unpack(body))

    def _compute(self, chunk: Chunk) -> None:
        seconds = self._world.point_times[chunk.indices]
        begin = max(self._free, self._world.now + self._world.delay())
        self._free = begin + float(seconds.sum())
        arrival = self._free + self._world.delay()
        self._frames.append((arrival, answer(chunk, seconds, NUM_COLUMNS)))

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        pass


def simulate(workers: int, points: int, point_s: float, costs: Costs) -> dict:
    """Return how long a run takes against the ideal, and how busy its master is.

    Args:
        workers: Number of workers, all equally fast.
        points: For each worker.
        point_s: Mean time of a point.
        costs: What the master's work costs.
    """
    chance = np.random.default_rng(0)
    times = point_s * chance.lognormal(-(NOISE**2) / 2, NOISE, workers * points)
    world = World(times, costs)
    master = Master([SimulatedLink(k, world) for k in range(workers)], world.clock, world.sleep)

    def take(delivery: Delivery) -> None:
        number = sum(len(answers.points) for _, answers in delivery)
        world.spend(costs.write_s + costs.point_s * number)

    introductions(master.members, lambda: False)
    master.begin(b"job")
    start, world.busy_s = world.now, 0.0
    stage = Stage(np.arange(len(times)), take)
    is_complete = master.run([stage], lambda *_: None, lambda: False)
    assert is_complete
    makespan_s, ideal_s = world.now - start, float(times.sum()) / workers
    return {
        "workers": workers,
        "points": workers * points,
        "point_s": point_s,
        "makespan_s": makespan_s,
        "ideal_s": ideal_s,
        "overhead": makespan_s / ideal_s - 1,
        "master_share": world.busy_s / makespan_s,
        "chunks": world.chunks,
    }
