"""How long an evaluator process may be silent, and how often it may fail."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from losscape_mpi.farm.child import Child
from losscape_mpi.farm.evaluator_process import EvaluatorError
from losscape_mpi.point.records import MAX_CHUNK

START_TIMEOUT_S = 600.0  # torch from a cold parallel file system takes minutes
SHORTEST_TIMEOUT_S = 60.0
TIMEOUT_FACTOR = 10.0
FAILURES_TO_RETIRE = 3
# At one a look a cheap point would cost the sleep between two; who talks for ever has an end.
FRAMES_A_LOOK = 4 * MAX_CHUNK


@dataclass(frozen=True)
class Patience:
    """How long a worker waits for a point, and how often it tries again.

    Attributes:
        retries: Further tries of a point that failed.
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

    def check(self, child: Child, owes: bool) -> None:
        """Refuse a start or a point that takes too long.

        Args:
            child: The process.
            owes: Whether it has points to answer.

        Raises:
            EvaluatorError: If it does.
        """
        if not child.is_serving:
            limit_s = START_TIMEOUT_S if child.is_expected else math.inf
        elif owes:
            measured = max(SHORTEST_TIMEOUT_S, TIMEOUT_FACTOR * self._longest_s)
            limit_s = self._point_timeout_s or measured
        else:
            limit_s = math.inf
        if self._clock() - self._since > limit_s:
            raise EvaluatorError(f"no answer for {limit_s:g} s")


class Failures:
    """Failures without a finished point between them; those of one point count once in a job.

    Attributes:
        number: How many there were.
    """

    def __init__(self) -> None:
        self.number = 0
        self._culprits: set[int] = set()

    def forgive(self) -> None:
        """Begin to count anew: a point was finished."""
        self.number = 0

    def begin_job(self) -> None:
        """Know none of the points: they are those of another job."""
        self._culprits.clear()

    def add(self, culprit: int | None) -> bool:
        """Count a failure; returns whether there are too many.

        Args:
            culprit: The point that was computed; None if there was none.
        """
        if culprit is None or culprit not in self._culprits:
            self.number += 1
        if culprit is not None:
            self._culprits.add(culprit)
        return self.number >= FAILURES_TO_RETIRE

    def describe(self, reason: str) -> str:
        """Return a text for the master.

        Args:
            reason: Of the last one.
        """
        return f"{self.number} failures without a finished point, the last one: {reason}"
