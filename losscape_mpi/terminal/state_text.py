"""The state of a surface file, as `status` and `watch` say it."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import numpy as np

from losscape_mpi.errors import printable
from losscape_mpi.store.reader import Activity
from losscape_mpi.store.surface import Surface
from losscape_mpi.terminal.pace_text import format_duration, format_rate
from losscape_mpi.terminal.status_rows import (
    line_rows,
    origin_rows,
    points_text,
    trouble_rows,
    value_rows,
    worker_rows,
)

WIDTH = 80
SILENT_S = 120.0  # a run that wrote nothing for so long has ended, or its points are long


def describe(surface: Surface, activity: Activity, digest: str, now: float) -> list[str]:
    """Return what a user wants to know of a file, as lines of at most 80 columns.

    Args:
        surface: The file's content.
        activity: Its progress record and workers.
        digest: Its canonical SHA-256.
        now: Unix time.
    """
    name = "checkpoints" if surface.is_path else "points"
    rows = [(name, points_text(surface)), *trouble_rows(surface), *_pace(surface, activity, now)]
    rows += [
        *origin_rows(surface),
        *worker_rows(surface, activity),
        *value_rows(surface),
        *line_rows(surface),
    ]
    rows += [("fingerprint", surface.manifest.get("fingerprint", "none")), ("sha256", digest)]
    lines = (f" {name:<14} {text}" for name, text in rows)
    return [printable(surface.path), *(shorten(line) for line in lines)]


def summarize(surface: Surface, activity: Activity, now: float) -> str:
    """Return the state of a file in one line that begins with the local time.

    Args:
        surface: The file's content.
        activity: Its progress record and workers.
        now: Unix time.
    """
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    pace = dict(_pace(surface, activity, now)).get("running", "")
    state = f"{stamp} {surface.path}: {points_text(surface)}" + (f", {pace}" if pace else "")
    return printable(state)


def shorten(line: str, width: int = WIDTH) -> str:
    """Return a line cut to so many columns, with a mark for the rest; what would act is escaped."""
    line = printable(line)
    return line if len(line) <= width else line[: width - 1] + "…"


def _pace(surface: Surface, activity: Activity, now: float) -> list[tuple[str, str]]:
    progress, counts = activity.progress, surface.counts()
    spent = float(progress["updated"] - progress["started"])
    new = counts["done"] - int(progress["done_before"])
    rows = []
    alive = _is_running(progress, now)
    if counts["pending"] and alive and new > 0 and spent > 0:
        left = format_duration(counts["pending"] * spent / new)
        rows.append(("running", f"{format_rate(new / spent)}, {left} left"))
    age = format_duration(max(0.0, now - progress["updated"]))
    host, job = (bytes(progress[key]).decode(errors="replace") for key in ("host", "job"))
    where = f"{host}, process {progress['pid']}" + (f", job {job}" if job else "")
    rows.append(("last run", f"{progress['runs']}, on {where}; last write {age} ago"))
    return rows


def _is_running(progress: np.void, now: float) -> bool:
    if not progress["running"] or now - progress["updated"] > SILENT_S:
        return False
    if bytes(progress["host"]) != socket.gethostname().encode()[:64]:
        return True
    return Path(f"/proc/{progress['pid']}").exists() or not Path("/proc/self").exists()
