"""Writing surface files: raw data only, in an order that no kill spoils (docs/file-format.md)."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.point.status import FAILED, NONFINITE
from losscape_mpi.store.checksum import accepted, row_crc
from losscape_mpi.store.content import read_axes, read_columns, read_manifest, read_provenance
from losscape_mpi.store.entrance import open_surface
from losscape_mpi.store.guard import Guard
from losscape_mpi.store.layout import NUM_WORKER_ROWS, POINT_DATASETS, PROGRESS, RECHECK, WORKER
from losscape_mpi.store.raw_file import Extent, RawFile, extent_of
from losscape_mpi.store.text import check_places

FSYNC_S = 5.0  # one fsync costs about 4 ms


class SurfaceWriter:
    """The one writer of a surface file; holds HDF5's lock until closed.

    Attributes:
        shape: (num_alpha, num_beta), or (t,) of a training path.
        manifest: What defines the result.
        columns: Names of what each point has, in the order of a row.
        pending: Flat indices that still need computing, in storage order.
    """

    def __init__(self, path: Path) -> None:
        """Open an existing surface file for writing.

        Raises:
            UserError: If another run holds the file, it is damaged, or it cannot be written.
        """
        self.path = path
        self._guard = Guard(path)
        try:
            with open_surface(path) as file:
                self._raw = RawFile(self._guard.file, self._read(file))
        except BaseException:
            self._guard.release()
            raise
        self._synced = time.monotonic()
        self.pending = np.flatnonzero(~self._confirmed())

    def _read(self, file: h5py.File) -> dict[str, Extent]:
        """Read what the file says of itself; returns where its data lie."""
        self.manifest: dict[str, Any] = read_manifest(file, self.path)
        read_provenance(file)
        check_places(file)
        self.shape: tuple[int, ...] = tuple(map(len, read_axes(file, self.manifest)))
        self.columns = [column.name for column in read_columns(file)]
        self._num_rows = len(file["workers"])
        wanted: dict[str, Any] = dict.fromkeys(self.columns, np.dtype("f8")) | POINT_DATASETS
        every = {name: (dtype, self.shape) for name, dtype in wanted.items()}
        every |= {RECHECK: (np.dtype("u1"), self.shape)} if RECHECK in file else {}
        every |= {"progress": (PROGRESS, ()), "workers": (WORKER, (self._num_rows,))}
        return {name: extent_of(file, name, *what) for name, what in every.items()}

    def start_run(self, now: float, host: str, pid: int, job: str) -> None:
        """Record that a run begins, at a Unix time, on a host, as a process and a batch job."""
        with self._guard.written(self._raw):
            record = self._raw.read("progress")
            record["runs"] += 1
            record["running"] = 1
            record["started"] = record["updated"] = now
            record["done_before"] = int(np.prod(self.shape)) - len(self.pending)
            record["host"], record["pid"], record["job"] = host.encode(), pid, job.encode()
            self._put_progress(record)

    def add_worker(self, host: str, device: str) -> int:
        """Record a worker of this run; returns its row, which `write` takes."""
        with self._guard.written(self._raw):
            record = self._raw.read("progress")
            row = min(int(record["workers"]), NUM_WORKER_ROWS - 1, self._num_rows - 1)
            worker = (record["runs"], host.encode(), device.encode(), b"")
            self._raw.put("workers", np.array([row]), np.array(worker, dtype=WORKER))
            record["workers"] = row + 1
            self._put_progress(record)
        return row

    def lose_worker(self, row: int, why: str) -> None:
        """Record that a worker gets no more points, and why."""
        with self._guard.written(self._raw):
            worker = self._raw.read("workers")[row]
            worker["gone"] = why.encode()[:32]
            self._raw.put("workers", np.array([row]), worker)

    def write(
        self,
        index: np.ndarray,
        values: np.ndarray,
        status: np.ndarray,
        seconds: np.ndarray,
        worker: int | np.ndarray,
        attempts: np.ndarray,
    ) -> None:
        """Store finished points: values and checksum first, their status only after a flush.

        Args:
            index: Flat indices, shape (k,).
            values: One row of columns for each point, shape (k, num_columns).
            status: Codes of `layout`, shape (k,).
            seconds: Time that each point took, shape (k,).
            worker: Row of the worker that computed them, or of each of them, shape (k,).
            attempts: How often each point was tried, shape (k,).

        Raises:
            UserError: If the file cannot be written, was deleted or replaced, or another run has
                taken it over (only without HDF5's lock).
        """
        with self._guard.written(self._raw):
            for column, name in enumerate(self.columns):
                self._raw.put(name, index, values[:, column])
            self._raw.put("crc", index, np.array([row_crc(row) for row in values], dtype="u4"))
            self._raw.put("seconds", index, seconds)
            self._raw.put("worker", index, worker)
            self._raw.put("attempts", index, attempts)
            due = time.monotonic() - self._synced >= FSYNC_S
            if due:
                self._raw.sync()
            self._put_status(index, status)
            record = self._raw.read("progress")
            record["updated"] = time.time()
            self._put_progress(record)
            if due:
                self._raw.sync()
                self._synced = time.monotonic()

    def rows(self, index: np.ndarray) -> np.ndarray | None:
        """Return the values of points, float64 (k, num_columns); None if one is not there.

        Args:
            index: Flat indices, shape (k,).
        """
        if not self._confirmed()[index].all():
            return None
        return np.stack([self._raw.read(name).ravel()[index] for name in self.columns], axis=1)

    def flat(self, name: str) -> np.ndarray | None:
        """Return a dataset of all points, shape (size,); None where the file has none."""
        return self._raw.read(name).ravel() if name in self._raw else None

    def mark(self, index: np.ndarray, codes: np.ndarray) -> None:
        """Store how the second computation of points ended, codes of `point.status`, (k,)."""
        with self._guard.written(self._raw):
            self._raw.put(RECHECK, index, codes)

    def counts(self) -> dict[str, int]:
        """Return how many points are done and confirmed, how many of them not finite; failed."""
        done, status = self._confirmed(), self._raw.read("status").ravel()
        return {
            "done": int(done.sum()),
            "nonfinite": int((done & (status == NONFINITE)).sum()),
            "failed": int((status == FAILED).sum()),
        }

    def close(self) -> None:
        """Bring everything to the disk and give the lock back.

        Raises:
            UserError: If the file was deleted or replaced meanwhile.
        """
        if self._guard.file.closed:
            return
        try:
            with self._guard.written(self._raw):
                record = self._raw.read("progress")
                record["running"] = 0
                self._put_progress(record)
                self._raw.sync()
        finally:
            self._guard.release()

    def __enter__(self) -> SurfaceWriter:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            self.close()
            return
        with contextlib.suppress(UserError):  # what went wrong first is told
            self.close()

    def _put_progress(self, record: np.ndarray) -> None:
        self._raw.put("progress", np.zeros(1, dtype=np.int64), record)

    def _put_status(self, index: np.ndarray, status: np.ndarray) -> None:
        self._raw.put("status", index, status)  # after all that it vouches for

    def _confirmed(self) -> np.ndarray:
        status, crc = (self._raw.read(name).ravel() for name in ("status", "crc"))
        return accepted(status, crc, [self._raw.read(n).ravel() for n in self.columns])  # (size,)
