"""What ends a run softly: Ctrl-C, SIGTERM, a stop file, or the end of the batch job's time."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from losscape_mpi.scheduler import current_job
from losscape_mpi.terminal.bar import clear_bar

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOP_FILE = "LOSSCAPE_STOP_FILE"
LOOK_S = 1.0  # between two looks at the stop file and the clock
MARGIN_S = 60.0  # before the job's end: a flush takes under a second, a queue's clock is coarse


class StopRequest:
    """A question that the master polls: should the run end now?

    The first signal asks for it, a second Ctrl-C ends the process at once.
    """

    def __init__(
        self, environment: Mapping[str, str], clock: Callable[[], float] = time.time
    ) -> None:
        """Take over SIGINT and SIGTERM of this process.

        Args:
            environment: Names the stop file (LOSSCAPE_STOP_FILE) and the batch job.
            clock: Unix time in seconds.
        """
        self._reason = ""
        self._has_signal = False
        self._clock = clock
        self._looked = -math.inf
        self._file = Path(environment[STOP_FILE]) if environment.get(STOP_FILE) else None
        job = current_job(environment)
        self._end = job.end() if job else None
        for number in SIGNALS:
            signal.signal(number, self._note)

    def __call__(self) -> bool:
        """Return whether the run should end."""
        now = self._clock()
        if not self._reason and not 0 <= now - self._looked < LOOK_S:  # it may be set back
            self._looked = now
            self._look(now)
        return bool(self._reason)

    @property
    def reason(self) -> str:
        """What asked for it, such as SIGINT; empty if nothing did."""
        return self._reason

    @property
    def has_signal(self) -> bool:
        """Whether a signal asked for it."""
        return self._has_signal

    def _look(self, now: float) -> None:
        if self._file is not None and self._file.exists():
            self._reason = f"the stop file {self._file}"
        elif self._end is not None and now > self._end - MARGIN_S:
            self._reason = "the end of the job's time"

    def _note(self, number: int, _frame: FrameType | None) -> None:
        # A launcher may pass SIGTERM on twice; only a person presses Ctrl-C again.
        if self._has_signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._has_signal = True
        self._reason = signal.Signals(number).name
        line = f"losscape_mpi: {self._reason}: stopping; Ctrl-C again ends at once\n"
        clear_bar(for_good=True)
        os.write(sys.stderr.fileno(), line.encode())  # print is not safe in a signal handler


def leave_signals_to_the_master() -> None:
    """Ignore SIGINT and SIGTERM: rank 0 gets them too and tells this worker what to do."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
