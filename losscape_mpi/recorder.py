"""One run of the master: the callbacks of the farm, and the file behind them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from losscape_mpi import wire
from losscape_mpi.command import COMPLETE, FAILED_POINTS, RESUMABLE
from losscape_mpi.cost import describe_cost, share_of_samples
from losscape_mpi.prepare import Task, open_output
from losscape_mpi.progress import Progress, format_duration
from losscape_mpi.store.writer import SurfaceWriter
from losscape_mpi.study.anchor_grid import anchor_plan

logger = logging.getLogger(__name__)


class Run:
    """What the farm's callbacks share: the file, the workers' rows, the values at the center.

    An existing file is opened at once, a new one is created when the first worker has proved
    that the problem can be evaluated: a mistake leaves nothing behind.

    Attributes:
        points: Flat indices to compute, coarse to fine; the anchors among them first.
        progress: Where finished points are counted.
    """

    def __init__(
        self,
        task: Task,
        choices: Mapping[str, Any],
        devices: Sequence[np.void],
        launcher: str,
        fresh: bool,
    ) -> None:
        """Open the task's file if it exists.

        Args:
            task: What to compute.
            choices: The record of what was chosen.
            devices: Device record of each worker.
            launcher: What the provenance says about MPI.
            fresh: Whether an existing file is moved aside.
        """
        self.points = task.grid.coarse_to_fine()
        self.progress: Progress | None = None
        self._task, self._choices, self._devices = task, choices, devices
        self._launcher, self._fresh = launcher, fresh
        self._start = time.monotonic()
        self._rows: dict[int, int] = {}
        self._center = task.center
        self._file: SurfaceWriter | None = None
        self._anchors = anchor_indices_of(task)
        if task.manifest is not None:
            self.points = self.points[np.isin(self.points, self._writer().pending)]

    @property
    def first_points(self) -> np.ndarray:
        """The points to begin with: the anchors if there are any, else all."""
        return (
            self.points[np.isin(self.points, self._anchors)] if self._anchors.size else self.points
        )

    def then(self) -> tuple[tuple[bytes, bytes], np.ndarray] | None:
        """Return the values at the anchors and the points between them, for `Master.run`."""
        if not self._anchors.size:
            return None
        rest = self.points[~np.isin(self.points, self._anchors)]
        table = self._writer().rows(self._anchors)
        if table is None:
            logger.warning(
                "warning: some anchors failed, so nothing between them can be estimated; run the "
                "same command again"
            )
            return None
        return (wire.ANCHORS, table.tobytes()), rest

    def ready(self, worker: int, center: np.ndarray, seconds: float) -> None:
        """Note that a worker has passed its checks; compare its values at the center.

        Args:
            worker: Number of the worker.
            center: Its value columns at the center, shape (num_columns,).
            seconds: That a point takes there.
        """
        host = bytes(self._devices[worker]["host"]).decode()
        device = bytes(self._devices[worker]["name"]).decode()
        reference = self._center
        if reference is None:
            self._center = center
        is_first = not self._rows
        self._rows[worker] = self._writer().add_worker(host, device)
        if is_first and self.progress is not None:
            self.progress.begin()
        if reference is None:
            logger.info("%s: %s", self._task.study.output, _describe(self._task.columns, center))
        if is_first:
            logger.info("%s", self._cost(seconds))
        if reference is not None and center.tobytes() != reference.tobytes():
            logger.warning(
                "warning: worker %d (%s, %s) differs at the center by up to %.3g from the first "
                "worker or from the file: the bits of this surface depend on who computes a point",
                worker,
                host,
                device,
                _spread(center, reference),
            )

    def take(self, workers: np.ndarray, done: np.ndarray) -> None:
        """Store finished points.

        Args:
            workers: Number of the worker that computed each point, shape (k,).
            done: Points of a `wire.result_record`, shape (k,).
        """
        self._writer().write(
            done["index"],
            done["values"],
            done["status"],
            done["seconds"],
            np.array([self._rows[int(worker)] for worker in workers]),
            done["attempts"],
        )
        if self.progress is not None:
            self.progress.add(len(done))

    def lose(self, worker: int, why: str) -> None:
        """Note in the file that a worker gets no more points."""
        if worker in self._rows:
            self._writer().lose_worker(self._rows[worker], why)

    def report(self, reason: str) -> int:
        """Say how the file stands; returns the exit code.

        Args:
            reason: What stopped the run early, empty if nothing did.
        """
        path, total = self._task.study.output, self._task.grid.size
        if self._file is None:
            logger.info("stopped by %s before the first point: nothing was written", reason)
            return RESUMABLE
        counts = self._file.counts()
        notes = "".join(
            f", {counts[key]} {text}"
            for key, text in (("nonfinite", "of them not finite"), ("failed", "failed"))
            if counts[key]
        )
        if not len(self.points):
            print(f"{path}: already complete, {total} points{notes}")  # noqa: T201
            return COMPLETE
        if counts["done"] + counts["failed"] < total:
            why = f", stopped by {reason or 'the loss of all workers'}"
            print(  # noqa: T201
                f"{path}: {counts['done']} of {total} points{notes}{why}; "
                "run the same command again to go on"
            )
            return RESUMABLE
        spent = format_duration(time.monotonic() - self._start)
        if counts["failed"]:
            print(  # noqa: T201
                f"{path}: {counts['done']} of {total} points{notes}, {spent}; the same command "
                "tries the failed ones again"
            )
            return FAILED_POINTS
        print(f"{path}: complete, {total} points{notes}, {spent}")  # noqa: T201
        return COMPLETE

    def _cost(self, seconds: float) -> str:
        """Return what the points left will cost.

        Args:
            seconds: That a point takes on all samples.
        """
        full = len(self.first_points)
        sizes = {name: len(split.targets) for name, split in self._task.problem.splits.items()}
        return describe_cost(
            seconds,
            len(self._devices),
            full,
            few=len(self.points) - full,
            share=share_of_samples(self._task.study, sizes),
            anchors=len(self._anchors),
        )

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _writer(self) -> SurfaceWriter:
        if self._file is None:
            center = self._center if self._center is not None else np.zeros(0)
            self._file = open_output(self._task, self._choices, self._launcher, self._fresh, center)
        return self._file


def anchor_indices_of(task: Task) -> np.ndarray:
    """Return the flat indices of a study's anchors; none unless its estimator is anchors."""
    evaluation = task.study.evaluation
    if evaluation.estimator != "anchors":
        return np.zeros(0, dtype=np.int64)
    return anchor_plan(task.grid, evaluation.anchors.stride).anchors


def _spread(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.nanmax(np.abs(one - other), initial=0.0))


def report_complete(task: Task) -> int:
    """Say that a file has every point already; returns the exit code. Nothing is written."""
    notes = f", {task.nonfinite} of them not finite" if task.nonfinite else ""
    print(f"{task.study.output}: already complete, {task.grid.size} points{notes}")  # noqa: T201
    return COMPLETE


def _describe(columns: Sequence[str], center: np.ndarray) -> str:
    shown = [
        f"{name} {value:.6g}"
        for name, value in zip(columns, center, strict=True)
        if not name.endswith(("_stderr", "/nonfinite"))
    ]
    return "at the center " + ", ".join(shown)
