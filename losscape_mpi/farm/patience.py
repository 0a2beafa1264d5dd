"""How long an evaluator process may be silent, and how often it may fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from losscape_mpi.farm.evaluator_process import EvaluatorError

START_TIMEOUT_S = 600.0  # torch from a cold parallel file system takes minutes
SHORTEST_TIMEOUT_S = 60.0
TIMEOUT_FACTOR = 10.0
FAILURES_TO_RETIRE = 3


@dataclass(frozen=True)
class Patience:
    """How long a worker waits for a point, and how often it tries again.

    Attributes:
        retries: Further tries of a point whose evaluator died.
        point_timeout_s: Seconds without an answer, or None to measure them.
    """

    retries: int
    point_timeout_s: float | None


class Silence:
    """The time since something was heard or asked, against what is borne."""

    def __init__(self, patience: Patience, clock: Callable[[], float]) -> None:
        """Count from now.

        Args:
            patience: What is borne.
            clock: Seconds, from anywhere.
        """
        self._point_timeout_s, self._clock = patience.point_timeout_s, clock
        self._longest_s = 0.0
        self._since = clock()

    def begin(self) -> None:
        """Count from now."""
        self._since = self._clock()

    def begin_job(self) -> None:
        """Count from now; what points took before is no measure any more."""
        self._longest_s = 0.0
        self.begin()

    def measure(self, seconds: float) -> None:
        """Note what a point took."""
        self._longest_s = max(self._longest_s, seconds)

    def check_start(self) -> None:
        """Refuse a start that takes too long.

        Raises:
            EvaluatorError: If it does.
        """
        self._check(START_TIMEOUT_S)

    def check_point(self) -> None:
        """Refuse a point that takes too long.

        Raises:
            EvaluatorError: If it does.
        """
        measured = max(SHORTEST_TIMEOUT_S, TIMEOUT_FACTOR * self._longest_s)
        self._check(self._point_timeout_s or measured)

    def _check(self, limit_s: float) -> None:
        if self._clock() - self._since > limit_s:
            raise EvaluatorError(f"no answer for {limit_s:g} s")


class Failures:
    """Failures without a finished point between them; those of one point in a row count once.

    Attributes:
        number: How many there were.
    """

    def __init__(self) -> None:
        self.number = 0
        self._culprit: int | None = None

    def add(self, culprit: int | None) -> bool:
        """Count a failure; returns whether there are too many.

        Args:
            culprit: The point that was computed; None if there was none.
        """
        if culprit is None or culprit != self._culprit:
            self.number += 1
        self._culprit = culprit
        return self.number >= FAILURES_TO_RETIRE

    def describe(self, reason: str) -> str:
        """Return a text for the master.

        Args:
            reason: Of the last one.
        """
        return f"{self.number} failures without a finished point, the last one: {reason}"
