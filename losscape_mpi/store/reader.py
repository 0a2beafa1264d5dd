"""Reading surface files, also while a run is writing them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.point.column import Column, columns_from_names, named
from losscape_mpi.point.status import DONE, NONFINITE, PENDING
from losscape_mpi.store.layout import (
    FORMATS,
    POINT_DATASETS,
    RECHECK,
    accepted,
    canonical_sha256,
    stack_columns,
)
from losscape_mpi.store.surface import Surface, axis_names_of
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
        names = axis_names_of(manifest)
        axes = [file[f"axes/{name}"][()] for name in names]
        # A training path has one axis; in memory it is a profile, (t, 1).
        shape = (len(axes[0]), -1) if len(axes) == 1 else file["status"].shape
        points = {name: file[name][()].reshape(shape) for name in POINT_DATASETS}
        values = {name: file[name][()].reshape(shape) for name in columns}
        surface = Surface(
            path,
            manifest,
            json.loads(file["provenance"][()]),
            axes[0],
            axes[1] if len(axes) > 1 else np.zeros(1),
            values,
            **points,
            trajectories=read_trajectories(file),
            columns=columns,
            axis_names=names,
            recheck=file[RECHECK][()].reshape(shape) if RECHECK in file else None,
        )
        _check_shapes(surface)
    _hide_unconfirmed(surface)
    return surface


def read_activity(path: Path) -> Activity:
    """Return the progress record and the workers of a surface file."""
    with open_surface(path) as file:
        progress = file["progress"][()]
        used = int(progress["workers"])
        return Activity(progress, file["workers"][:used])


def read_directions(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return the directions by axis and parameter name; empty where the file holds none."""
    with open_surface(path) as file:
        if "directions" not in file:
            return {}
        return {
            axis: {name: data[()] for name, data in group.items()}
            for axis, group in file["directions"].items()
        }


def surface_sha256(path: Path) -> str:
    """Return the canonical SHA-256 of a surface file (see `layout.canonical_sha256`)."""
    with open_surface(path) as file:
        read_manifest(file, path)
        directions: dict[str, np.ndarray] = {}
        for axis, group in file.get("directions", {}).items():
            directions |= {f"{axis}/{name}": data[()] for name, data in group.items()}
        return canonical_sha256(
            bytes(file["manifest"][()]),
            {name: data[()] for name, data in file["axes"].items()},
            {name: file[name][()] for name in value_names(file)},
            file["status"][()],
            file["crc"][()],
            directions,
        )


@contextmanager
def open_surface(path: Path) -> Iterator[h5py.File]:
    """Open a surface file for reading without a lock, and explain what cannot be read."""
    if not path.exists():
        raise UserError(f"{path}: no such surface file; run losscape_mpi.surface to make it")
    try:
        # The layout never changes after creation, so a reader needs no lock (docs/design.md).
        file = _open_without_lock(path)
    except PermissionError as error:
        raise UserError(f"{path} cannot be read: permission denied; ask its owner") from error
    except OSError as error:
        raise UserError(
            f"{path} is not a readable HDF5 file ({first_line(error)}); move it away and run again"
        ) from error
    with file:
        try:
            yield file
        except (KeyError, OSError, ValueError, AttributeError, TypeError) as error:
            raise UserError(
                f"{path} is damaged or no losscape_mpi surface file ({first_line(error)}); "
                "move it away and run again"
            ) from error


def _open_without_lock(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r", locking=False)
    except BlockingIOError:
        # HDF5_USE_FILE_LOCKING overrides the argument; a copy in memory needs no lock.
        return h5py.File(io.BytesIO(path.read_bytes()), "r")


def read_manifest(file: h5py.File, path: Path) -> dict[str, Any]:
    """Return the manifest of an open file.

    Raises:
        UserError: If there is none, or one of another format version.
    """
    if "manifest" not in file:
        raise UserError(f"{path} is an HDF5 file, but no losscape_mpi surface: it has no manifest")
    manifest = json.loads(file["manifest"][()])
    if manifest.get("format") not in FORMATS:
        raise UserError(
            f"{path} has format version {manifest.get('format')}, this program reads "
            f"{' and '.join(map(str, FORMATS))}; use the release that wrote it"
        )
    return manifest


def read_columns(file: h5py.File) -> list[Column]:
    """Return the value columns in the order of the checksum; format 1 tells their names only."""
    told = json.loads(file["columns"][()])
    if all(isinstance(each, str) for each in told):
        return columns_from_names(told)
    return [Column.from_json(each) for each in told]


def value_names(file: h5py.File) -> list[str]:
    """Return the names of the value columns in the order of the checksum."""
    return [column.name for column in read_columns(file)]


def _check_shapes(surface: Surface) -> None:
    wanted = (len(surface.alpha), len(surface.beta))
    points = {name: getattr(surface, name) for name in POINT_DATASETS}
    for name, array in (points | surface.values).items():
        if array.shape != wanted:
            raise ValueError(f"{name} has shape {array.shape}, expected {wanted}")


def _hide_unconfirmed(surface: Surface) -> None:
    table = stack_columns(surface.values, list(surface.values))
    status = surface.status.ravel()  # a view: the array is contiguous
    finished = np.isin(status, (DONE, NONFINITE))
    torn = finished & ~accepted(status, surface.crc.ravel(), table)
    status[torn] = PENDING
    for array in surface.values.values():
        array.ravel()[(status != DONE) & (status != NONFINITE)] = np.nan
