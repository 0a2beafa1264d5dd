"""The data of a surface file as places in it: written without the HDF5 library.

Datasets are contiguous and never move, so a value is written by one call at its place. A write that
fails is an OSError then; the library would try again at its end, and crash (exit code 139).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

MAX_GAP = 512  # items: nearer points are written by one call, with what lies between them


@dataclass(frozen=True)
class Extent:
    """Where a dataset's data lie: first byte, type of an item, shape."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def extent_of(file: h5py.File, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Extent:
    """Return where the data of a dataset lie.

    Raises:
        ValueError: If they have no place in the file, or another type or shape than they must.
    """
    data = file[name]
    offset = data.id.get_offset()
    if offset is None or (data.dtype, data.shape) != (dtype, shape):
        raise ValueError(f"{name} holds {data.dtype} {data.shape}, expected {dtype} {shape}")
    return Extent(int(offset), dtype, shape)


class RawFile:
    """An open file whose datasets are read and written at their places."""

    def __init__(self, file: BinaryIO, extents: dict[str, Extent]) -> None:
        """Take an open file.

        Args:
            file: Open for reading and writing.
            extents: Where each dataset lies, by name.
        """
        self._file, self._extents = file, extents

    @property
    def descriptor(self) -> int:
        """The number of the open file."""
        return self._file.fileno()

    def __contains__(self, name: str) -> bool:
        return name in self._extents

    def read(self, name: str) -> np.ndarray:
        """Return all items of a dataset, in its shape."""
        extent = self._extents[name]
        count = int(np.prod(extent.shape, dtype=np.int64))
        return self._items(extent, 0, count).reshape(extent.shape)

    def put(self, name: str, index: np.ndarray, data: Any) -> None:
        """Write items of a dataset.

        Args:
            name: Of the dataset.
            index: Flat indices, shape (k,).
            data: One value for each, or one for all.
        """
        extent = self._extents[name]
        order = np.argsort(index, kind="stable")
        places = np.asarray(index, dtype=np.int64)[order]
        values = np.broadcast_to(np.asarray(data, dtype=extent.dtype), places.shape)[order]
        cuts = np.flatnonzero(np.diff(places) > MAX_GAP) + 1
        starts, ends = [0, *cuts.tolist()], [*cuts.tolist(), len(places)]
        for start, end in zip(starts, ends, strict=True):
            if start < end:
                self._put_run(extent, places[start:end], values[start:end])

    def _put_run(self, extent: Extent, places: np.ndarray, values: np.ndarray) -> None:
        """Write rising items that lie near each other."""
        first, count = int(places[0]), int(places[-1] - places[0]) + 1
        if count > len(places):
            run = self._items(extent, first, count)
            run[places - first] = values
            values = run
        view = memoryview(np.ascontiguousarray(values).view("u1").data)
        at = extent.offset + first * extent.dtype.itemsize
        while view:
            written = os.pwrite(self.descriptor, view, at)
            view, at = view[written:], at + written

    def _items(self, extent: Extent, first: int, count: int) -> np.ndarray:
        items = np.zeros(count, dtype=extent.dtype)
        view = memoryview(items.view("u1").data)
        at = extent.offset + first * extent.dtype.itemsize
        while view:
            num_read = os.preadv(self.descriptor, [view], at)
            if not num_read:
                raise OSError(f"found the end of the file at byte {at}, expected {len(view)} more")
            view, at = view[num_read:], at + num_read
        return items

    def is_at(self, path: Path) -> bool:
        """Return whether a path still leads to this file."""
        try:
            there = path.stat()
        except OSError:
            return False
        return os.path.samestat(os.fstat(self.descriptor), there)

    def name(self) -> Path | None:
        """Return where this file is now; None where it has no name any more."""
        name = Path(f"/proc/self/fd/{self.descriptor}")
        try:
            found = Path(os.readlink(name))
        except OSError:
            return None
        return found if self.is_at(found) else None

    def copy_to(self, path: Path) -> None:
        """Write all bytes of the file to another one."""
        size, at = os.fstat(self.descriptor).st_size, 0
        with path.open("wb") as copy:
            while at < size:
                at += copy.write(os.pread(self.descriptor, min(1 << 24, size - at), at))

    def sync(self) -> None:
        """Bring everything to the disk."""
        os.fsync(self.descriptor)
