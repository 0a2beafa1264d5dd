"""Writing surface files: raw data only, in an order that no kill spoils (docs/file-format.md)."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.point.status import FAILED, NONFINITE
from losscape_mpi.store.layout import (
    NUM_WORKER_ROWS,
    POINT_DATASETS,
    RECHECK,
    WORKER,
    accepted,
    row_crc,
    stack_columns,
)
from losscape_mpi.store.lock import open_for_writing
from losscape_mpi.store.reader import value_names

FSYNC_S = 5.0  # one fsync costs about 4 ms, a flush 0.03 ms


class SurfaceWriter:
    """The one writer of a surface file; holds HDF5's lock until closed.

    Attributes:
        shape: (num_alpha, num_beta), or (t,) of a training path.
        manifest: What defines the result.
        pending: Flat indices that still need computing, in storage order.
    """

    def __init__(self, path: Path) -> None:
        """Open an existing surface file for writing.

        Raises:
            UserError: If another run holds the file, or it cannot be written.
        """
        self.path = path
        self._file, self._lock = open_for_writing(path)
        self._columns = value_names(self._file)
        # Kept open: finding datasets by name took two thirds of a write.
        names = (*self._columns, *POINT_DATASETS, "progress", RECHECK)
        self._datasets = {name: self._file[name] for name in names if name in self._file}
        self._dtypes = {name: dataset.dtype for name, dataset in self._datasets.items()}
        self.shape: tuple[int, ...] = self._file["status"].shape
        self.manifest: dict[str, Any] = json.loads(self._file["manifest"][()])
        self._synced = time.monotonic()
        self.pending = np.flatnonzero(~self._confirmed())

    def start_run(self, now: float, host: str, pid: int, job: str) -> None:
        """Record that a run begins, at a Unix time, on a host, as a process and a batch job."""
        record = self._datasets["progress"][()]
        record["runs"] += 1
        record["running"] = 1
        record["started"] = record["updated"] = now
        record["done_before"] = int(np.prod(self.shape)) - len(self.pending)
        record["host"], record["pid"], record["job"] = host.encode(), pid, job.encode()
        self._datasets["progress"][()] = record
        self._flush()

    def add_worker(self, host: str, device: str) -> int:
        """Record a worker of this run; returns its row, which `write` takes."""
        record = self._datasets["progress"][()]
        row = min(int(record["workers"]), NUM_WORKER_ROWS - 1)
        self._file["workers"][row] = np.array(
            (record["runs"], host.encode(), device.encode(), b""), dtype=WORKER
        )
        record["workers"] = row + 1
        self._datasets["progress"][()] = record
        self._flush()
        return row

    def lose_worker(self, row: int, why: str) -> None:
        """Record that a worker gets no more points, and why."""
        worker = self._file["workers"][row]
        worker["gone"] = why.encode()[:32]
        self._file["workers"][row] = worker
        self._flush()

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
            UserError: If another run has taken the file over (only without HDF5's lock).
        """
        if not self._is_ours():
            raise UserError(f"{self.path} has been taken over by another run; this one ends here")
        for column, name in enumerate(self._columns):
            self._put(name, index, values[:, column])
        self._put("crc", index, np.array([row_crc(row) for row in values], dtype="u4"))
        self._put("seconds", index, seconds)
        self._put("worker", index, np.full(len(index), worker, dtype="u2"))
        self._put("attempts", index, attempts)
        self._flush()
        due = time.monotonic() - self._synced >= FSYNC_S
        if due:
            self._fsync()
        self._put("status", index, status)
        record = self._datasets["progress"][()]
        record["updated"] = time.time()
        self._datasets["progress"][()] = record
        self._flush()
        if due:
            self._fsync()
            self._synced = time.monotonic()

    def rows(self, index: np.ndarray) -> np.ndarray | None:
        """Return the values of points, float64 (k, num_columns); None if one is not there.

        Args:
            index: Flat indices, shape (k,).
        """
        if not self._confirmed()[index].all():
            return None
        return np.stack([self._file[name][()].ravel()[index] for name in self._columns], axis=1)

    def flat(self, name: str) -> np.ndarray | None:
        """Return a dataset of all points, shape (size,); None where the file has none."""
        return self._datasets[name][()].ravel() if name in self._datasets else None

    def mark(self, index: np.ndarray, codes: np.ndarray) -> None:
        """Store how the second computation of points ended, codes of `point.status`, (k,)."""
        self._put(RECHECK, index, codes)
        self._flush()

    def counts(self) -> dict[str, int]:
        """Return how many points are done and confirmed, how many of them not finite; failed."""
        done, status = self._confirmed(), self._file["status"][()].ravel()
        return {
            "done": int(done.sum()),
            "nonfinite": int((done & (status == NONFINITE)).sum()),
            "failed": int((status == FAILED).sum()),
        }

    def close(self) -> None:
        """Bring everything to the disk and give the lock back."""
        if not self._file:
            return
        if self._is_ours():
            record = self._datasets["progress"][()]
            record["running"] = 0
            self._datasets["progress"][()] = record
            self._flush()
            self._fsync()
        self._file.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> SurfaceWriter:
        return self

    def __exit__(self, *_how: object) -> None:
        self.close()

    def _is_ours(self) -> bool:
        return self._lock is None or self._lock.is_ours()

    def _confirmed(self) -> np.ndarray:
        table = stack_columns({n: self._file[n][()] for n in self._columns}, self._columns)
        status, crc = (self._file[name][()].ravel() for name in ("status", "crc"))
        return accepted(status, crc, table)  # (size,)

    def _put(self, name: str, index: np.ndarray, data: np.ndarray) -> None:
        points = np.stack(np.unravel_index(index, self.shape), axis=1)  # (k, 2)
        space = h5py.h5s.create_simple(self.shape)
        space.select_elements(points)
        data = np.ascontiguousarray(data, dtype=self._dtypes[name])
        self._datasets[name].id.write(h5py.h5s.create_simple((len(index),)), space, data)

    def _flush(self) -> None:
        self._file.flush()

    def _fsync(self) -> None:
        os.fsync(self._file.id.get_vfd_handle())
