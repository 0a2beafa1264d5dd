"""The last stage of a run: some points are computed a second time, by others if there are any."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from losscape_mpi.farm.stage import Delivery, Stage
from losscape_mpi.point.column import Column
from losscape_mpi.point.frames import Bytes
from losscape_mpi.point.status import CHOSEN, FAILED, OTHER, SAME
from losscape_mpi.run.verdict import Axes, Verdict, place_words
from losscape_mpi.store.layout import RECHECK
from losscape_mpi.store.writer import SurfaceWriter

logger = logging.getLogger(__name__)

# Where workers differ in last bits already at the center: processors of several kinds.
RELATIVE, ABSOLUTE = 1e-3, 1e-2


class Recheck:
    """Compares what is computed a second time with what the file holds, and marks it there."""

    def __init__(self, writer: SurfaceWriter, columns: Sequence[Column], axes: Axes) -> None:
        """Take the file, the columns of a row, and the coordinates by axis name."""
        self._writer, self._columns, self._axes = writer, list(columns), axes
        self._size = int(np.prod([len(axis) for axis in axes.values()]))
        self._wanted: dict[int, np.ndarray] = {}
        self._words: dict[int, str] = {}
        self.is_exact = True  # whether all workers give the same bits at the center

    def stage(
        self, workers: Mapping[int, int], block: tuple[bytes, Bytes] | None = None
    ) -> Stage | None:
        """Return the stage of what is left to compute again; None if nothing is, or points miss.

        Args:
            workers: Row in the file by number of the workers of this run.
            block: What they must know for any point.
        """
        marks = self._writer.flat(RECHECK)
        left = np.zeros(0, dtype=int) if marks is None else np.flatnonzero(marks == CHOSEN)
        rows = self._writer.rows(left) if len(left) else None
        computed_by = self._writer.flat("worker")
        if rows is None or computed_by is None or self._writer.counts()["done"] < self._size:
            return None
        logger.info("%d points are computed a second time", len(left))
        self._wanted = dict(zip(left.tolist(), rows, strict=True))
        numbers = {row: number for number, row in workers.items()}
        by = zip(left.tolist(), computed_by[left].tolist(), strict=True)
        not_by = {index: numbers[row] for index, row in by if row in numbers}
        return Stage(left, self.take, block, not_by)

    def take(self, delivery: Delivery) -> None:
        """Compare answers with the file; one that failed is left for another run."""
        width = len(self._columns)
        marks = {
            int(point["index"]): self._compare(int(point["index"]), row)
            for _, answers in delivery
            for point, row in zip(answers.points, answers.rows(width), strict=True)
            if point["status"] != FAILED
        }
        if marks:
            index, codes = np.array(list(marks)), np.array(list(marks.values()), dtype="u1")
            self._writer.mark(index, codes)

    def verdict(self) -> Verdict | None:
        """Return what is known by now; None where the file has no points to compute again."""
        marks = self._writer.flat(RECHECK)
        if marks is None:
            return None
        others = np.flatnonzero(marks == OTHER).tolist()
        words = tuple(self._words.get(k) or place_words(self._axes, k) for k in others)
        return Verdict(int((marks == SAME).sum()), int((marks == CHOSEN).sum()), words)

    def _compare(self, index: int, found: np.ndarray) -> int:
        wanted = self._wanted[index]
        apart = [self._is_apart(*each) for each in zip(found, wanted, self._columns, strict=True)]
        if not any(apart):
            return SAME
        k = apart.index(True)
        values = f"{self._columns[k].name} {float(wanted[k])!r}, then {float(found[k])!r}"
        self._words[index] = f"{place_words(self._axes, index)}: {values}"
        return OTHER

    def _is_apart(self, one: float, other: float, column: Column) -> bool:
        if one == other or (np.isnan(one) and np.isnan(other)):
            return False
        if self.is_exact:
            return True
        if column.role != "value":
            return False
        is_absolute = column.comparison == "absolute"
        bound = ABSOLUTE if is_absolute else RELATIVE * max(abs(one), abs(other))
        return not abs(one - other) <= bound
