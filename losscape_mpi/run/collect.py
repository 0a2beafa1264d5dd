"""Answers in memory instead of in a file: rows of places, and sums over shards."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.farm.pool import Pool
from losscape_mpi.farm.stage import Delivery, Stage
from losscape_mpi.point.frames import VECTOR
from losscape_mpi.point.status import FAILED
from losscape_mpi.run.compute import Never
from losscape_mpi.task.job import Job
from losscape_mpi.task.shards import NUM_SHARDS


def collect_rows(
    pool: Pool,
    job: Job,
    count: int,
    width: int,
    *,
    counted: Callable[[int], None] = lambda _: None,
    stopping: Callable[[], bool] | None = None,
) -> np.ndarray:
    """Return the rows of places, float64 of shape (count, width), NaN for a place that failed.

    Args:
        pool: The workers, introduced.
        job: What is computed.
        count: Number of places.
        width: Columns of a row.
        counted: Called with the number of places that have been answered.
        stopping: Polled; True ends the run, with NaN for what is missing.
    """
    table = np.full((count, width), np.nan)

    def take(delivery: Delivery) -> None:
        for _, answers in delivery:
            table[answers.points["index"]] = answers.rows(width)
            counted(len(answers.points))

    pool.begin(job.to_bytes())
    pool.run([Stage(np.arange(count), take)], lambda *_: None, stopping or Never())
    return table


class ShardSums:
    """Sums over all samples of a split, by fixed shards on all workers.

    Rank 0 adds the shards in their order in float64, so that a sum has the same bits on any number
    of workers, whoever computed which shard and however often.
    """

    def __init__(self, pool: Pool, job: Job) -> None:
        """Give the workers the job; one shard more or less costs its time only.

        Args:
            pool: The workers, introduced.
            job: With `where` SHARDS.
        """
        self._pool = pool
        pool.begin(job.to_bytes())

    def sum(
        self, vector: np.ndarray | None = None, stopping: Callable[[], bool] | None = None
    ) -> np.ndarray:
        """Return the sum of all shards, float64 as long as one of them.

        Args:
            vector: Parameters to go to, float64 of shape (N,); None stays where they are.
            stopping: Polled; True ends the run.

        Raises:
            UserError: If a shard failed, the workers are gone, or the run was stopped.
        """
        adder = _InOrder()
        block = None if vector is None else (VECTOR, np.asarray(vector, "<f8").tobytes())
        stage = Stage(np.arange(NUM_SHARDS), adder.take, block)
        self._pool.run([stage], lambda *_: None, stopping or Never())
        return adder.total()


class _InOrder:
    """Adds blocks in the order of their shards, whatever order they come in."""

    def __init__(self) -> None:
        self._waiting: dict[int, np.ndarray] = {}
        self._next = 0
        self._total: np.ndarray | None = None

    def take(self, delivery: Delivery) -> None:
        for _, answers in delivery:
            for point, block in zip(answers.points, answers.blocks(), strict=True):
                index = int(point["index"])
                if point["status"] == FAILED:
                    raise UserError(
                        f"shard {index} of {NUM_SHARDS} failed in each of "
                        f"{point['attempts']} tries, see above; run again"
                    )
                self._waiting[index] = np.frombuffer(block, "<f8")
        while self._next in self._waiting:
            part = self._waiting.pop(self._next)
            self._total = part.copy() if self._total is None else self._total + part
            self._next += 1

    def total(self) -> np.ndarray:
        if self._total is None or self._next < NUM_SHARDS:
            raise UserError(
                f"found {self._next} of {NUM_SHARDS} shards, stopped or all workers lost; run again"
            )
        return self._total
