"""Whether several threads can run copies of a network at once."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from torch import Tensor

from losscape_mpi.errors import first_line
from losscape_mpi.problem.copy import same_bits

Pass = Callable[[int], Sequence[Tensor]]

FEWEST_ROUNDS, MOST_ROUNDS = 1, 50
ROUNDS_S = 0.1  # of all rounds together: a race that shows up at all does so in a few switches
SWITCH_S = 1e-5  # between threads, instead of Python's 5 ms: a pass of a small network takes less


def differing_lanes(lanes: Sequence[Pass], count: int, wanted: Sequence[Sequence[Tensor]]) -> str:
    """Return how passes in threads of their own, all at once, differ from one alone; "" if not.

    Args:
        lanes: What gives the tensors of a batch by its number, for each thread.
        count: How many batches there are; each thread takes them in an order of its own.
        wanted: What one lane alone gives for each batch.
    """
    started, end = threading.Barrier(len(lanes)), time.monotonic() + ROUNDS_S
    found: list[str] = []

    def run(lane: int) -> None:
        started.wait()
        for number in range(MOST_ROUNDS):
            if found or (number >= FEWEST_ROUNDS and time.monotonic() > end):
                return
            order = [(lane + number + k) % count for k in range(count)]
            if text := _differing(lanes[lane], order, wanted):
                found.append(text)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        with ThreadPoolExecutor(len(lanes)) as pool:
            list(pool.map(run, range(len(lanes))))
    finally:
        sys.setswitchinterval(interval)
    return found[0] if found else ""


def _differing(lane: Pass, order: Sequence[int], wanted: Sequence[Sequence[Tensor]]) -> str:
    for number in order:
        try:
            found = lane(number)
        except Exception as error:  # what races may fail in any way
            return f"a pass beside others fails ({first_line(error)})"
        if not all(same_bits(*pair) for pair in zip(found, wanted[number], strict=True)):
            return "passes in several threads at once differ from one alone"
    return ""
