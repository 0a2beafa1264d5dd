"""The master's callbacks in a run, and the surface file behind them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from losscape_mpi.farm.stage import Delivery, Stage
from losscape_mpi.point.frames import ANCHORS, Bytes
from losscape_mpi.point.status import FAILED
from losscape_mpi.run.center import check_same_center, say_center
from losscape_mpi.run.cost import describe_cost, share_of_samples
from losscape_mpi.run.failed_places import named_places, untried_first
from losscape_mpi.run.manifest import open_output
from losscape_mpi.run.outcome import Outcome, outcome_of
from losscape_mpi.run.prepare import Prepared
from losscape_mpi.run.progress import Progress
from losscape_mpi.run.recheck import Recheck
from losscape_mpi.run.row_text import other_bits
from losscape_mpi.run.verdict import Verdict
from losscape_mpi.store.writer import SurfaceWriter
from losscape_mpi.study.anchor_grid import anchors_of_study

logger = logging.getLogger(__name__)


class Recorder:
    """What the farm's callbacks share: the file, the workers' rows, the reference values.

    An existing file is opened at once, a new one is created when the first worker has proved
    that the problem can be evaluated: a mistake leaves nothing behind.

    Attributes:
        points: Flat indices to compute, coarse to fine; the anchors among them first, those that
            failed in an earlier run last.
        progress: Where finished points are counted.
    """

    def __init__(
        self,
        prepared: Prepared,
        choices: Mapping[str, Any],
        devices: Sequence[np.void],
        launcher: str,
        fresh: bool,
    ) -> None:
        """Open the file if it exists.

        Args:
            prepared: What to compute.
            choices: The record of what was chosen.
            devices: Device record of each worker.
            launcher: What the provenance says about MPI.
            fresh: Whether an existing file is moved aside.
        """
        self.points = prepared.places.coarse_to_fine()
        self.progress: Progress | None = None
        self._prepared, self._choices, self._devices = prepared, choices, devices
        self._launcher, self._fresh = launcher, fresh
        self._rows: dict[int, int] = {}
        self._reference = prepared.reference
        self._file: SurfaceWriter | None = None
        self._recheck: Recheck | None = None
        self._failed: set[int] = set()
        self._anchors = anchors_of_study(prepared.study.evaluation, prepared.places)
        if prepared.existing is not None:
            pending = self.points[np.isin(self.points, self._writer().pending)]
            self.points = untried_first(pending, prepared.existing.status)

    @property
    def first_points(self) -> np.ndarray:
        """The points to begin with: the anchors if there are any, else all."""
        return (
            self.points[np.isin(self.points, self._anchors)] if self._anchors.size else self.points
        )

    def stages(self) -> Iterator[Stage]:
        """Yield the points to begin with, those between anchors, then some a second time."""
        yield Stage(self.first_points, self.take)
        block: tuple[bytes, Bytes] | None = None
        if self._anchors.size:
            table = self._writer().rows(self._anchors)
            if table is None:
                logger.warning(
                    "warning: some anchors failed, so nothing between them can be estimated; run "
                    "the same command again"
                )
                return
            block = ANCHORS, table.tobytes()
            yield Stage(self.points[~np.isin(self.points, self._anchors)], self.take, block)
        if self._recheck is not None and (again := self._recheck.stage(self._rows, block)):
            yield again

    def ready(self, worker: int, reference: np.ndarray, seconds: float) -> None:
        """Note that a worker has passed its checks; compare its reference values.

        Args:
            worker: Number of the worker.
            reference: Its value columns at the center, shape (num_columns,).
            seconds: That a point takes there.
        """
        host, device = (bytes(self._devices[worker][n]).decode() for n in ("host", "name"))
        known, who = self._reference, f"worker {worker} ({host}, {device})"
        if known is None:
            self._reference = reference
        else:
            check_same_center(self._prepared, self._choices, reference, known, who)
        is_first = not self._rows
        self._rows[worker] = self._writer().add_worker(host, device)
        if is_first and self.progress is not None:
            self.progress.begin()
        if known is None:
            say_center(self._prepared, reference)
        if is_first:
            logger.info("%s", self._cost(seconds))
        if known is not None and reference.tobytes() != known.tobytes():
            if self._recheck is not None:
                self._recheck.is_exact = False
            logger.warning("%s", other_bits(who, reference, known))

    def take(self, delivery: Delivery) -> None:
        """Store finished points."""
        width = len(self._prepared.columns)
        points = np.concatenate([answers.points for _, answers in delivery])
        self._writer().write(
            points["index"],
            np.concatenate([answers.rows(width) for _, answers in delivery]),
            points["status"],
            points["seconds"],
            np.concatenate([np.full(len(a.points), self._rows[w]) for w, a in delivery]),
            points["attempts"],
        )
        self._failed.update(points["index"][points["status"] == FAILED].tolist())
        if self.progress is not None:
            self.progress.add(len(points))

    def lose(self, worker: int, why: str) -> None:
        """Note in the file that a worker gets no more points."""
        if worker in self._rows:
            self._writer().lose_worker(self._rows[worker], why)

    def counts(self) -> dict[str, int] | None:
        """Return how many points the file holds, see `SurfaceWriter.counts`; None without file."""
        return None if self._file is None else self._file.counts()

    @property
    def is_complete(self) -> bool:
        """Whether nothing was left to be computed when the file was opened."""
        verdict = self.verdict()
        return not len(self.points) and not (verdict and verdict.left)

    def verdict(self) -> Verdict | None:
        """Return what the second computation of some points gave; None without file or such."""
        return None if self._recheck is None else self._recheck.verdict()

    def outcome(self, counts: Mapping[str, int], stop: str, spent: str) -> Outcome:
        """Return how the run ended, see `outcome_of`."""
        output, places = self._prepared.study.output, self._prepared.places
        where = named_places(places, self._failed)
        return outcome_of(output, places.size, counts, stop, spent, self.verdict(), where)

    def _cost(self, seconds: float) -> str:
        """Return what the points left will cost.

        Args:
            seconds: That a point takes on all samples.
        """
        full = len(self.first_points)
        splits = self._prepared.problem.splits
        return describe_cost(
            seconds,
            len(self._devices),
            full,
            few=len(self.points) - full,
            share=share_of_samples(
                self._prepared.study, {name: len(s.targets) for name, s in splits.items()}
            ),
            anchors=len(self._anchors),
        )

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_how: object) -> None:
        if self._file is not None:
            self._file.close()

    def _writer(self) -> SurfaceWriter:
        if self._file is None:
            reference = self._reference if self._reference is not None else np.zeros(0)
            self._file = open_output(
                self._prepared, self._choices, self._launcher, self._fresh, reference
            )
            self._recheck = Recheck(self._file, self._prepared.columns, self._prepared.places.axes)
        return self._file
