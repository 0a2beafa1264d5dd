"""How a run shows that it lives: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as RichProgress

from losscape_mpi.errors import printable

LINE_S = 30.0
LINE_SHARE = 0.05
SHORTEST_LINE_S = 2.0


class Progress:
    """Counts finished points; draws on a terminal, writes a line now and then elsewhere."""

    def __init__(
        self,
        name: str,
        total: int,
        done: int,
        workers: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with `done` of `total` points held by the file already."""
        self._total, self._before, self._done = total, done, done
        self._name, self._workers, self._clock = printable(name), workers, clock
        self._start = self._last_time = clock()
        self._last_done = done
        self._bar: RichProgress | None = None
        if sys.stderr.isatty():
            self._bar = RichProgress(
                TextColumn("{task.description}", markup=False),  # a name is no markup
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(
                self._name, total=total, completed=done, note="starting"
            )

    def begin(self) -> None:
        """Start the clock: the first worker is about to compute its first point."""
        self._start = self._last_time = self._clock()

    def add(self, count: int) -> None:
        """Count some more finished points."""
        self._done += count
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, note=self.note())
        elif self._is_line_due():
            self._last_time, self._last_done = self._clock(), self._done
            line = f"{self._name}: {self._done}/{self._total} points, {self.note()}"
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def note(self) -> str:
        """Return rate, remaining time and number of workers as text."""
        seconds = self._clock() - self._start
        rate = (self._done - self._before) / seconds if seconds > 0 else 0.0
        left = (self._total - self._done) / rate if rate > 0 else float("inf")
        crew = f"{self._workers} worker" + ("s" if self._workers != 1 else "")
        return f"{format_rate(rate)}, {format_duration(left)} left, {crew}"

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _is_line_due(self) -> bool:
        waited = self._clock() - self._last_time
        grown = (self._done - self._last_done) / self._total
        return waited >= LINE_S or (grown >= LINE_SHARE and waited >= SHORTEST_LINE_S)


def format_rate(rate: float) -> str:
    """Return points per second, or seconds per point where that reads better."""
    if rate >= 1:
        return f"{rate:.3g} points/s"
    return f"{1 / rate:.3g} s/point" if rate > 0 else "no rate yet"


def format_duration(seconds: float) -> str:
    """Return a duration such as 42 s, 3 min 20 s, 5 h 12 min."""
    if seconds == float("inf"):
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
