"""Seconds that this process was awake: a job that is suspended is not silent, it does not run."""

from __future__ import annotations

import time
from collections.abc import Callable

# A loop of ours looks every few milliseconds; a slow file system may hold it for a second.
LONGEST_STEP_S = 5.0


class AwakeClock:
    """A clock that stands still while its process does, as far as its loop reads it.

    A batch system stops all processes of a job and continues them hours later (SIGSTOP, SIGCONT).
    Nobody has been silent meanwhile. Between two readings at most `LONGEST_STEP_S` pass.
    """

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        """Begin at 0.

        Args:
            steady: Seconds, from anywhere, that pass also while the process is stopped.
        """
        self._steady = steady
        self._read = steady()
        self._awake_s = 0.0

    def __call__(self) -> float:
        """Return the seconds that have passed."""
        now = self._steady()
        self._awake_s += min(now - self._read, LONGEST_STEP_S)
        self._read = now
        return self._awake_s
