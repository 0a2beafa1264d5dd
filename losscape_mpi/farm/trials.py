"""Points that failed: how often each was tried, which are tried again, which are given up."""

from __future__ import annotations

import logging
from collections import deque

import numpy as np

from losscape_mpi.point.records import Answers
from losscape_mpi.point.status import FAILED

logger = logging.getLogger(__name__)

MOST_LINES = 30  # of failed tries: a model may fail at every point of a million


class Trials:
    """Counts the failed tries of points; what is tried again waits behind all untried points.

    Attributes:
        waiting: Points to try again, in the order of their failing.
    """

    def __init__(self, retries: int) -> None:
        """Begin without a failure; a point is given up after `retries` further tries."""
        self.waiting: deque[int] = deque()
        self._retries = retries
        self._tries: dict[int, tuple[int, int]] = {}  # with the last worker, until answered
        self._lines = 0

    def count(self, worker: int, index: int, reason: str, who: str) -> None:
        """Count a failed try of a point that has no answer yet, and say so.

        Args:
            worker: Number of the worker that tried.
            index: Of the point.
            reason: Why it failed.
            who: The worker, for a person.
        """
        tries = self._tries.get(index, (0, 0))[0] + 1
        self._tries[index] = tries, worker
        verdict = "tried again" if self._is_hopeful(index) else "given up"
        self._lines += 1
        if self._lines <= MOST_LINES:
            text = f"point {index}, try {tries}: {reason}; {verdict}"
            logger.warning("warning: %s: %s", who, text)
        if self._lines == MOST_LINES:
            logger.warning("warning: further failed tries are not listed here")

    def settle(self, answers: Answers) -> Answers:
        """Return the answers that are final; failed points that have tries left wait for one."""
        failed = answers.points["status"] == FAILED
        if not self._tries and not failed.any():
            return answers
        points, final = answers.points.copy(), np.ones(len(failed), dtype=bool)
        for k, index in enumerate(points["index"].tolist()):
            tries, _ = self._tries.get(index, (0, 0))
            if failed[k] and index in self._tries and self._is_hopeful(index):
                self.waiting.append(index)
                final[k] = False
                continue
            self._tries.pop(index, None)
            points["attempts"][k] = min(max(tries, 1) if failed[k] else tries + 1, 255)
        return Answers(answers.id, points[final], answers.payload)  # a failed one has no payload

    def take_back(self, points: list[int]) -> list[int]:
        """Return those of a lost worker's points that were never tried; the others wait."""
        self.waiting.extend(p for p in points if p in self._tries and self._is_hopeful(p))
        return [p for p in points if p not in self._tries]

    def end(self) -> list[tuple[int, Answers]]:
        """Give up what failed and has no answer: with the worker of each point's last try.

        So the next run begins with the points that nobody has tried.
        """
        left, self._tries = self._tries, {}
        self.waiting.clear()
        return [(who, Answers.failed(0, index, tries)) for index, (tries, who) in left.items()]

    def _is_hopeful(self, index: int) -> bool:
        return self._tries[index][0] <= self._retries
