"""Seconds of a call on a machine that others use too: repeated until the minimum is stable."""

import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

STABLE = 0.01  # a round that is not faster by this share does not count as faster
PATIENCE = 5  # rounds in a row that were not faster


@dataclass(frozen=True)
class Timing:
    """Seconds of one call.

    Attributes:
        best: The fastest round by the clock: what the call costs when nothing else runs.
        median: The usual round.
        cpu: The least CPU time of a round, all threads of this process and its ended children:
            on a busy machine the better guess for a call that keeps one core at work.
        rounds: How many were measured; the first call, which warms up, is not among them.
    """

    best: float
    median: float
    cpu: float
    rounds: int


def measure(
    function: Callable[[], object],
    device: torch.device | str = "cpu",
    *,
    calls: int = 1,
    patience: int = PATIENCE,
    max_s: float = 60.0,
) -> Timing:
    """Return the seconds of a call, after one call to warm up.

    Args:
        function: What is measured; on a GPU it may return before the work is done.
        device: Where it works; a GPU is waited for before and after a round.
        calls: Calls in one round; the result is divided by it.
        patience: Ends after so many rounds in a row that were not 1 % faster than the best.
        max_s: Ends after so many seconds, whatever the rounds say.
    """
    device = torch.device(device)
    function()
    seconds: list[float] = []
    best, cpu, since_best = float("inf"), float("inf"), 0
    begin = time.perf_counter()
    while not seconds or (since_best < patience and time.perf_counter() - begin < max_s):
        synchronize(device)
        start, cpu_start = time.perf_counter(), _cpu_seconds()
        for _ in range(calls):
            function()
        synchronize(device)
        seconds.append((time.perf_counter() - start) / calls)
        cpu = min(cpu, (_cpu_seconds() - cpu_start) / calls)
        since_best = 0 if seconds[-1] < (1 - STABLE) * best else since_best + 1
        best = min(best, seconds[-1])
    return Timing(best, statistics.median(seconds), cpu, len(seconds))


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done all its work; nothing to do on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def one_thread(core: int | None = None) -> Iterator[None]:
    """Give torch one arithmetic thread, and this thread (and its children) one core.

    Args:
        core: Number of the core; None leaves the cores as they are.
    """
    threads, cores = torch.get_num_threads(), os.sched_getaffinity(0)
    torch.set_num_threads(1)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)


def first_core() -> int:
    """Return the first core that this process may use."""
    return min(os.sched_getaffinity(0))
