"""Creating a surface file: whole in a temporary file, which then gets its name.

Every dataset is contiguous and allocated at once, so that a full disk fails here and no later
write changes the file's structure (a kill during such a change ruins an HDF5 file).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.files import created, move_aside
from losscape_mpi.point.column import Column, splits
from losscape_mpi.point.status import CHOSEN, UNCHOSEN
from losscape_mpi.store.layout import NUM_WORKER_ROWS, POINT_DATASETS, PROGRESS, RECHECK, WORKER
from losscape_mpi.store.lock import refuse_held
from losscape_mpi.store.probe import trust
from losscape_mpi.store.text import CHECKSUMS, TEXTS, checksums


def create_surface(
    path: Path,
    manifest: bytes,
    provenance: bytes,
    axes: Mapping[str, np.ndarray],
    columns: Sequence[Column],
    directions: Mapping[str, Mapping[str, np.ndarray]],
    chosen: np.ndarray | None = None,
) -> None:
    """Create a surface file with every point pending: whole, or not at all.

    Args:
        path: Where the file appears, by an atomic link.
        manifest: Canonical JSON of what defines the result.
        provenance: Canonical JSON of what makes the file.
        axes: Coordinates by name: "alpha" (n,) and "beta" (m,), or the one of a training path.
        columns: What each point has, in the order of its checksum.
        directions: Tensors by axis and parameter name; may be empty.
        chosen: Flat indices of the points that are computed a second time before the file is
            complete; None for a file without that.

    Raises:
        UserError: If the file exists or cannot be written; nothing is left behind.
    """
    # Built in memory: HDF5 does not report a full disk as an OSError, plain writing does.
    with (
        created(path) as temporary,
        h5py.File(
            temporary,
            "w",
            driver="core",
            backing_store=False,
            # The lowest format versions that suffice: 'latest' files do not open after a kill.
            libver=("earliest", "v108"),
            alignment_threshold=1024,
            alignment_interval=4096,
        ) as file,
    ):
        _write_text(file, {"manifest": manifest, "provenance": provenance}, columns)
        _preallocate(file, axes, columns, chosen)
        _write_directions(file, directions)
        _write_checksums(file)
        file.flush()
        temporary.write_bytes(file.id.get_file_image())
    trust(path)


def back_up(path: Path) -> Path:
    """Move a file aside to the first free NAME.1, NAME.2, ...; returns the new path.

    Raises:
        UserError: If a run is writing it, or has moved it meanwhile.
    """
    refuse_held(path)
    moved = move_aside([path])
    if not moved:
        raise UserError(f"{path} was moved by another run meanwhile; run again to look at it")
    return moved[0]


def _write_text(file: h5py.File, texts: Mapping[str, bytes], columns: Sequence[Column]) -> None:
    for name, text in texts.items():
        file.create_dataset(name, data=np.bytes_(text), track_times=False)
    told = json.dumps([column.to_json() for column in columns])
    file.create_dataset("columns", data=np.bytes_(told), track_times=False)


def _write_checksums(file: h5py.File) -> None:
    """Add what tells later whether a text, or the place of a dataset, has changed; comes last."""
    places: dict[str, int] = {}

    def take(name: str, data: Any) -> None:
        if isinstance(data, h5py.Dataset) and not name.startswith(("directions/", *TEXTS)):
            places[name] = data.id.get_offset()

    file.visititems(take)
    texts = {name: file[name][()] for name in TEXTS}
    data = np.bytes_(checksums(texts, places))
    file.create_dataset(CHECKSUMS, data=data, track_times=False)


def _write_axes(file: h5py.File, axes: Mapping[str, np.ndarray]) -> None:
    for name, coordinates in axes.items():
        data = _dataset(file, f"axes/{name}", coordinates.shape, np.dtype("f8"), 0.0)
        data[...] = coordinates
        data.make_scale(name)


def _preallocate(
    file: h5py.File,
    axes: Mapping[str, np.ndarray],
    columns: Sequence[Column],
    chosen: np.ndarray | None,
) -> None:
    _write_axes(file, axes)
    shape = tuple(len(coordinates) for coordinates in axes.values())
    grids = [_dataset(file, c.name, shape, np.dtype("f8"), np.nan) for c in columns]
    for column, data in zip(columns, grids, strict=True):
        data.attrs["long_name"] = np.bytes_(column.description)
    grids += [_dataset(file, name, shape, dtype, 0) for name, dtype in POINT_DATASETS.items()]
    if chosen is not None:
        grids.append(_dataset(file, RECHECK, shape, np.dtype("u1"), UNCHOSEN))
        grids[-1][...] = _marks(shape, chosen)
    for data in grids:
        for dimension, axis in enumerate(axes):
            data.dims[dimension].label = axis
            data.dims[dimension].attach_scale(file[f"axes/{axis}"])
    _dataset(file, "progress", (), PROGRESS, None)
    _dataset(file, "workers", (NUM_WORKER_ROWS,), WORKER, None)
    _link_axes(file, axes, columns)


def _marks(shape: tuple[int, ...], chosen: np.ndarray) -> np.ndarray:
    marks = np.full(shape, UNCHOSEN, dtype="u1")
    marks.ravel()[chosen] = CHOSEN
    return marks


def _link_axes(file: h5py.File, axes: Iterable[str], columns: Sequence[Column]) -> None:
    """Give the axes their names in each group too: netCDF readers look for them there."""
    for group in ("/", *splits(columns)):
        for axis in axes:
            file[group][axis] = file[f"axes/{axis}"]


def _write_directions(file: h5py.File, directions: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    for axis, tensors in directions.items():
        for name, tensor in tensors.items():
            data = _dataset(file, f"directions/{axis}/{name}", tensor.shape, tensor.dtype, None)
            data[...] = tensor


def _dataset(
    file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], fill: float | None
) -> h5py.Dataset:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.CONTIGUOUS)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_ALLOC)
    plist.set_obj_track_times(False)
    if fill is not None:
        plist.set_fill_value(np.array(fill, dtype=dtype))
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    kind = h5py.h5t.py_create(dtype, logical=True)
    space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, space, plist, links))
