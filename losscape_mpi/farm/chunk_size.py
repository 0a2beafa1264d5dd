"""How many points one message asks for."""

from __future__ import annotations

import math

import numpy as np

from losscape_mpi.point.records import MAX_CHUNK

CHUNK_TARGET_S = 1.0  # work in one message: long against a hand-over, short to lose
CHUNKS_PER_S = 50  # of all workers: one costs the master about 1 ms (docs/benchmarks.md)


class ChunkSize:
    """Points for each chunk: by time, bounded by factoring (Flynn Hummel et al. 1992)."""

    def __init__(self) -> None:
        self.point_s: float | None = None

    def note(self, seconds: np.ndarray) -> None:
        """Take in how long some points took, shape (k,)."""
        for value in seconds:
            old = self.point_s
            self.point_s = float(value) if old is None else 0.8 * old + 0.2 * float(value)

    def choose(self, num_left: int, num_workers: int) -> int:
        """Return the size of the next chunk: 1 until the first time is known."""
        if self.point_s is None:
            return 1
        target_s = max(CHUNK_TARGET_S, num_workers / CHUNKS_PER_S)
        by_time = target_s / max(self.point_s, 1e-6)
        share = math.ceil(num_left / (2 * max(num_workers, 1)))
        return max(1, min(int(by_time), share, MAX_CHUNK))
