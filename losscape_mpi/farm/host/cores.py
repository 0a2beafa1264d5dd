"""The cores that this process may use, and those that its node can keep busy."""

from __future__ import annotations

import math
import os
from pathlib import Path


def affinity() -> set[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def usable_cores(
    groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> int:
    """Return the cores of this node that its processes can keep busy.

    A container often sees all cores of its node and may use the time of a few: the smallest quota
    (cpu.max) of this process's control group (version 2) and of those above it counts.

    Args:
        groups: The control groups of this process.
        root: Where control groups are mounted.
    """
    cores = os.cpu_count() or 1
    lines = groups.read_text().splitlines() if groups.exists() else []
    own = Path(next((line[3:] for line in lines if line.startswith("0::")), "/"))
    for group in (own, *own.parents):
        file = root / group.relative_to("/") / "cpu.max"
        quota, period = file.read_text().split() if file.exists() else ("max", "100000")
        if quota != "max":
            cores = min(cores, math.ceil(int(quota) / int(period)))
    return cores
