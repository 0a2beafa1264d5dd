"""Work of several threads at once that ends together, also where one of them raises."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

Result = TypeVar("Result")


def run_lanes(
    pool: ThreadPoolExecutor, work: Callable[..., Result], *arguments: Iterable[object]
) -> list[Result]:
    """Return what threads give for each set of arguments; the first error is raised at the end.

    `pool.map` would raise it while other threads still move their networks, and the next place
    would be computed with what they leave.

    Args:
        pool: The threads.
        work: What each does.
        arguments: An iterable for each argument; the shortest one counts.
    """
    lanes = [pool.submit(work, *each) for each in zip(*arguments, strict=False)]
    wait(lanes)
    return [lane.result() for lane in lanes]
