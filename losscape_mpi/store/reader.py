"""Reading surface files, also while a run is writing them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from losscape_mpi.point.column import named
from losscape_mpi.point.status import FAILED, PENDING
from losscape_mpi.store.checksum import accepted
from losscape_mpi.store.content import (
    read_array,
    read_axes,
    read_columns,
    read_manifest,
    read_provenance,
)
from losscape_mpi.store.entrance import open_surface
from losscape_mpi.store.layout import POINT_DATASETS, PROGRESS, RECHECK, WORKER, canonical_sha256
from losscape_mpi.store.surface import Surface, axis_names_of
from losscape_mpi.store.text import read_text
from losscape_mpi.store.trajectory import read_trajectories

TENSOR_TYPES = tuple(map(np.dtype, ("f4", "f8", "f2")))


@dataclass(frozen=True, eq=False)
class Activity:
    """What the runs that wrote a file left behind: no part of the result.

    Attributes:
        progress: The fixed record of `layout.PROGRESS`.
        workers: The rows of /workers in use.
    """

    progress: np.void
    workers: np.ndarray


def read_surface(path: Path) -> Surface:
    """Return the surface that a file holds.

    Points whose values do not match their checksum count as pending, exactly as a resumed run
    treats them.

    Raises:
        UserError: If the file is missing, no surface file, damaged, or of another version.
    """
    with open_surface(path) as file:
        surface = _read(file, path)
    _hide(surface, _unconfirmed(surface))
    return surface


def read_with_sha256(path: Path) -> tuple[Surface, str]:
    """Return the surface that a file holds with its canonical SHA-256, read once for both.

    Raises:
        UserError: As `read_surface`.
    """
    with open_surface(path) as file:
        surface, rest = _read(file, path), _hashed_beside(file)
    line = slice(None) if len(surface.axis_names) > 1 else (slice(None), 0)
    points = {name: getattr(surface, name)[line] for name in ("status", "crc")}
    values = {name: array[line] for name, array in surface.values.items()}
    with ThreadPoolExecutor(1) as pool:  # both release the interpreter's lock
        digest = pool.submit(canonical_sha256, **rest, **points, values=values)
        torn = _unconfirmed(surface)
        found = digest.result()
    _hide(surface, torn)
    return surface, found


def _read(file: h5py.File, path: Path) -> Surface:
    manifest = read_manifest(file, path)
    columns = named(read_columns(file))
    axes = read_axes(file, manifest)
    shape = tuple(len(each) for each in axes)
    # A training path has one axis; in memory it is a profile, (t, 1).
    grid = (shape[0], 1) if len(shape) == 1 else shape
    points = {n: read_array(file, n, d, shape).reshape(grid) for n, d in POINT_DATASETS.items()}
    values = {n: read_array(file, n, "f8", shape).reshape(grid) for n in columns}
    again = read_array(file, RECHECK, "u1", shape).reshape(grid) if RECHECK in file else None
    return Surface(
        path,
        manifest,
        read_provenance(file),
        axes[0],
        axes[1] if len(axes) > 1 else np.zeros(1),
        values,
        **points,
        trajectories=read_trajectories(file),
        columns=columns,
        axis_names=axis_names_of(manifest),
        recheck=again,
    )


def read_activity(path: Path) -> Activity:
    """Return the progress record and the workers of a surface file."""
    with open_surface(path) as file:
        progress = read_array(file, "progress", PROGRESS, ()).reshape(1)[0]
        used = int(progress["workers"])
        return Activity(progress, read_array(file, "workers", WORKER, None)[:used])


def read_directions(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return the directions by axis and parameter name; empty where the file holds none."""
    with open_surface(path) as file:
        return _directions(file)


def surface_sha256(path: Path) -> str:
    """Return the canonical SHA-256 of a surface file (see `layout.canonical_sha256`)."""
    with open_surface(path) as file:
        read_manifest(file, path)
        return canonical_sha256(
            **_hashed_beside(file),
            values={column.name: file[column.name][()] for column in read_columns(file)},
            status=file["status"][()],
            crc=file["crc"][()],
        )


def _hashed_beside(file: h5py.File) -> dict[str, Any]:
    """Return what the canonical SHA-256 covers beside the points."""
    return {
        "manifest": read_text(file, "manifest"),
        "axes": {name: read_array(file, f"axes/{name}", "f8", None) for name in file["axes"]},
        "directions": {
            f"{axis}/{name}": data
            for axis, tensors in _directions(file).items()
            for name, data in tensors.items()
        },
    }


def _directions(file: h5py.File) -> dict[str, dict[str, np.ndarray]]:
    """Return the directions of an open file; a name with a slash lies in a group of its own."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for axis, group in file.get("directions", {}).items():
        found[axis] = {}

        def take(name: str, data: Any, into: dict[str, np.ndarray] = found[axis]) -> None:
            if isinstance(data, h5py.Dataset):
                into[name] = _tensor(data)

        group.visititems(take)
    return found


def _tensor(data: h5py.Dataset) -> np.ndarray:
    if data.dtype not in TENSOR_TYPES or data.shape is None:
        raise ValueError(f"{data.name} holds {data.dtype}, expected a tensor of floats")
    return np.asarray(data[()])


def _unconfirmed(surface: Surface) -> np.ndarray:
    """Return which points, (size,), hold no value that their checksum confirms."""
    columns = [array.ravel() for array in surface.values.values()]
    return ~accepted(surface.status.ravel(), surface.crc.ravel(), columns)


def _hide(surface: Surface, missing: np.ndarray) -> None:
    if not missing.any():
        return
    status = surface.status.ravel()  # a view: the array is contiguous
    status[missing & (status != FAILED)] = PENDING
    for array in surface.values.values():
        array.ravel()[missing] = np.nan
