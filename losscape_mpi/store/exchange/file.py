"""What the readers and writers of other tools' files share: opening, replacing, percent."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.files import replaced
from losscape_mpi.point.column import Column, named
from losscape_mpi.point.status import DONE, NONFINITE, PENDING
from losscape_mpi.store.entrance import DAMAGE
from losscape_mpi.store.gate import MAX_UNSTORED_BYTES, check_structure
from losscape_mpi.store.layout import FORMAT, POINT_DATASETS, UNKNOWN_WORKER
from losscape_mpi.store.probe import check_file, open_without_lock
from losscape_mpi.store.surface import Surface

UNKNOWN_SPLIT = "data"  # of values whose file does not tell training from test samples
MAX_RATIO = 20  # compressed surfaces reach 5
_ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


@contextmanager
def opened(path: Path, expected: str) -> Iterator[h5py.File]:
    """Open an HDF5 file of another tool for reading, and explain what cannot be read.

    Args:
        path: The file.
        expected: What it should be, such as "surface file of the 2018 tool".
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; expected a {expected}")
    check_file(path, expected)
    try:
        with open_without_lock(path) as file:
            check_structure(file, path.stat().st_size, is_ours=False)
            yield file
    except DAMAGE as error:
        raise UserError(f"{path} is no readable {expected} ({first_line(error)})") from error


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an NPZ file by name; nothing is ever unpickled.

    Raises:
        UserError: If the file is missing, no NPZ file, damaged, or holds Python objects.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected an NPZ file")
    try:
        _check_size(path)
        with np.load(path, allow_pickle=False) as file:
            return {str(name): np.asarray(file[name]) for name in file.files}
    except (*DAMAGE, *_ZIP_DAMAGE) as error:
        raise UserError(f"{path} is no readable NPZ file ({first_line(error)})") from error


def _check_size(path: Path) -> None:
    """Refuse an archive that unpacks to far more than it holds."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > max(MAX_UNSTORED_BYTES, MAX_RATIO * path.stat().st_size):
        raise ValueError(f"it unpacks to {unpacked} bytes")


@contextmanager
def written_hdf5(path: Path) -> Iterator[h5py.File]:
    """Give an HDF5 file to fill, which then replaces the one at the path as a whole."""
    # Built in memory: HDF5 does not report a full disk as an OSError, plain writing does.
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        yield file
    with replaced(path) as temporary:
        temporary.write_bytes(image.getvalue())


def foreign_surface(
    path: Path,
    source: str,
    axes: tuple[np.ndarray, np.ndarray | None],
    values: Mapping[Column, np.ndarray],
    status: np.ndarray | None = None,
    parts: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Surface:
    """Return a surface made from another tool's numbers.

    Args:
        path: File they were read from.
        source: The tool, such as "2018 tool".
        axes: Coordinates of alpha and beta; None for beta of a 1-D profile.
        values: Arrays (num_alpha, num_beta) by column.
        status: Codes of the same shape; None takes every value for computed.
        parts: Of the manifest: what the file tells of "plane" or "evaluation".
        provenance: What else it tells.
    """
    alpha, beta = axes
    ranges = {"alpha": _range(alpha), "beta": None if beta is None else _range(beta)}
    parts = dict(parts or {})
    problem = {"model": "unknown", "data": {"name": "unknown"}}
    study = {"problem": problem, "grid": ranges} | parts.pop("study", {})
    manifest = {"format": FORMAT, "source": source, "study": study, **parts}
    if status is None:
        status = status_of(values)
    points: dict[str, Any] = {"columns": named(values)}
    points |= {name: np.zeros(status.shape, dtype) for name, dtype in POINT_DATASETS.items()}
    points |= {"status": status, "worker": np.full(status.shape, UNKNOWN_WORKER, dtype="u2")}
    beta = np.zeros(1) if beta is None else beta
    words = {"name": path.stem, **(provenance or {})}
    arrays = {column.name: array for column, array in values.items()}
    return Surface(path, manifest, words, alpha, beta, arrays, **points)


def status_of(values: Mapping[Column, np.ndarray], pending: np.ndarray | None = None) -> np.ndarray:
    """Return the status of points: pending where told, else done, finite or not."""
    finite = np.isfinite(list(values.values())).all(axis=0)
    status = np.where(finite, DONE, NONFINITE).astype("u1")
    if pending is not None:
        status[pending] = PENDING
    return status


def axis_of(array: np.ndarray, path: Path, name: str) -> np.ndarray:
    """Return the coordinates of an axis as float64 (num,).

    Raises:
        UserError: If they are no finite numbers in one dimension.
    """
    axis = np.asarray(array, dtype=np.float64)
    if axis.ndim != 1 or len(axis) == 0 or not np.isfinite(axis).all():
        raise UserError(f"{path}: {name} has shape {axis.shape}; expected finite coordinates (n,)")
    return axis


def shifted(values: np.ndarray, places: int) -> np.ndarray:
    """Return values * 10**places by their decimal digits: 54.4 % is 0.544 and back again."""
    flat = [float(Decimal(repr(value)).scaleb(places)) for value in values.ravel().tolist()]
    return np.array(flat, dtype=np.float64).reshape(values.shape)


def _range(axis: np.ndarray) -> list[float | int]:
    return [float(axis[0]), float(axis[-1]), len(axis)]
