"""How a run shows that it lives: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType

from losscape_mpi.errors import printable
from losscape_mpi.terminal.bar import Bar
from losscape_mpi.terminal.bar_text import bar_line
from losscape_mpi.terminal.device import open_terminal
from losscape_mpi.terminal.pace_text import format_duration, format_rate

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
        self._has_begun = False
        terminal = open_terminal(os.environ)
        self._bar = None if terminal is None else Bar(terminal, self.line)

    def begin(self) -> None:
        """Start the clock: the first worker is about to compute its first point."""
        self._start = self._last_time = self._clock()
        self._has_begun = True

    def add(self, count: int) -> None:
        """Count some more finished points."""
        self._done += count
        if self._bar is None and self._is_line_due():
            self._last_time, self._last_done = self._clock(), self._done
            line = f"{self._name}: {self._done}/{self._total} points, {self.note()}"
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def note(self) -> str:
        """Return rate, remaining time and number of workers as text."""
        return self._notes()[0]

    def line(self, columns: int) -> str:
        """Return the bar's line for a terminal of so many columns."""
        notes = self._notes() if self._has_begun else ("starting",)
        return bar_line(self._name, self._done, self._total, notes, columns)

    def _notes(self) -> tuple[str, ...]:
        """Return the note, and shorter ones for narrow terminals."""
        seconds = self._clock() - self._start
        rate = (self._done - self._before) / seconds if seconds > 0 else 0.0
        left = (self._total - self._done) / rate if rate > 0 else float("inf")
        crew = f"{self._workers} worker" + ("s" if self._workers != 1 else "")
        pace, rest = format_rate(rate), f"{format_duration(left)} left"
        whole = (f"{pace}, {rest}, {crew}", f"{pace}, {rest}")
        return (*whole, rest, format_duration(left)) if rate > 0 else (*whole, pace)

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
