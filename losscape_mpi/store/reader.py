"""Reading surface files, also while a run is writing them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from losscape_mpi.point.column import named
from losscape_mpi.point.status import DONE, FAILED, NONFINITE, PENDING
from losscape_mpi.store.checksum import accepted
from losscape_mpi.store.content import (
    read_array,
    read_axes,
    read_columns,
    read_manifest,
    read_provenance,
)
from losscape_mpi.store.entrance import open_surface
from losscape_mpi.store.layout import POINT_DATASETS, PROGRESS, WORKER, canonical_sha256
from losscape_mpi.store.surface import Surface, axis_names_of
from losscape_mpi.store.text import read_text
from losscape_mpi.store.trajectory import read_trajectories


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
        manifest = read_manifest(file, path)
        columns = named(read_columns(file))
        axes = read_axes(file, manifest)
        shape = tuple(len(each) for each in axes)
        # A training path has one axis; in memory it is a profile, (t, 1).
        grid = (shape[0], 1) if len(shape) == 1 else shape
        points = {n: read_array(file, n, d, shape).reshape(grid) for n, d in POINT_DATASETS.items()}
        values = {n: read_array(file, n, "f8", shape).reshape(grid) for n in columns}
        surface = Surface(
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
        )
    _hide_unconfirmed(surface)
    return surface


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
        arrays = {name: file[name][()] for name in ("status", "crc")}
        directions = {
            f"{a}/{n}": d for a, each in _directions(file).items() for n, d in each.items()
        }
        return canonical_sha256(
            read_text(file, "manifest"),
            {name: data[()] for name, data in file["axes"].items()},
            {column.name: file[column.name][()] for column in read_columns(file)},
            **arrays,
            directions=directions,
        )


def _directions(file: h5py.File) -> dict[str, dict[str, np.ndarray]]:
    """Return the directions of an open file; a name with a slash lies in a group of its own."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for axis, group in file.get("directions", {}).items():
        found[axis] = {}

        def take(name: str, data: Any, into: dict[str, np.ndarray] = found[axis]) -> None:
            if isinstance(data, h5py.Dataset):
                into[name] = data[()]

        group.visititems(take)
    return found


def _hide_unconfirmed(surface: Surface) -> None:
    status = surface.status.ravel()  # a view: the array is contiguous
    columns = [array.ravel() for array in surface.values.values()]
    status[~accepted(status, surface.crc.ravel(), columns) & (status != FAILED)] = PENDING
    missing = (status != DONE) & (status != NONFINITE)
    if missing.any():
        for array in columns:
            array[missing] = np.nan
