"""The farm's own master over simulated workers, on a simulated clock."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from losscape_mpi import wire
from losscape_mpi.farm.master import Master
from losscape_mpi.farm.messages import WORKER_WAIT_S
from losscape_mpi.farm.opening import introductions

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


class SimulatedLink:
    """A worker with one running and one queued chunk."""

    is_remote = True

    def __init__(self, number: int, world: World) -> None:
        self.name, self._world = f"rank {number + 1}", world
        self.stopped = self.is_lost = False
        self._free = 0.0
        hello = np.zeros(1, dtype=wire.DEVICE_RECORD).tobytes()
        center = np.zeros(NUM_COLUMNS + 1).tobytes()
        self._frames = deque([(0.0, (wire.HELLO, hello)), (0.0, (wire.READY, center))])

    def poll(self) -> tuple[bytes, bytes] | None:
        self._world.spend(self._world.costs.poll_s)
        if not self._frames or self._world.now < self._frames[0][0]:
            return None
        frame = self._frames.popleft()[1]
        if frame[0] == wire.RESULT:
            self._world.spend(self._world.costs.chunk_s)
            self._world.chunks += 1
        return frame

    def send_chunk(self, record: np.ndarray) -> None:
        points = record["points"][0, : record["count"][0]]
        seconds = self._world.point_times[points]
        answer = np.zeros(1, dtype=wire.result_record(NUM_COLUMNS))
        answer["id"], answer["count"] = record["id"], len(points)
        answer["points"]["index"][0, : len(points)] = points
        answer["points"]["seconds"][0, : len(points)] = seconds
        begin = max(self._free, self._world.now + self._world.delay())
        self._free = begin + float(seconds.sum())
        arrival = self._free + self._world.delay()
        self._frames.append((arrival, (wire.RESULT, answer.tobytes())))

    def expect_results(self, num_columns: int) -> None:
        pass

    def beat(self) -> None:
        pass

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

    def take(_workers: np.ndarray, done: np.ndarray) -> None:
        world.spend(costs.write_s + costs.point_s * len(done))

    introductions(master.desks, lambda: False)
    start, world.busy_s = world.now, 0.0
    is_complete = master.run(
        np.arange(len(times)), NUM_COLUMNS, lambda *_: None, take, lambda: False
    )
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
