"""Any tool's surface file as a Surface: ours and those of others, told apart by their content."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.point.column import accuracy_column, loss_column
from losscape_mpi.store.exchange.file import (
    UNKNOWN_SPLIT,
    axis_of,
    foreign_surface,
    load_npz,
    opened,
    shifted,
    status_of,
)
from losscape_mpi.store.exchange.matrix import NPY_START, read_npy
from losscape_mpi.store.exchange.npz import is_landscaper, is_mode_plane, landscaper, mode_plane
from losscape_mpi.store.exchange.surface import read_2018_surface
from losscape_mpi.store.exchange.text_table import read_text
from losscape_mpi.store.mistaken import refuse_study
from losscape_mpi.store.probe import refuse_irregular
from losscape_mpi.store.reader import read_surface
from losscape_mpi.store.surface import Surface
from losscape_mpi.store.tables import read_npz
from losscape_mpi.study.grid import axis

Axes = tuple[np.ndarray, np.ndarray]
HDF5_START, ZIP_START = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"
TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".dat")  # other text is no surface file
SCALAR = re.compile(r"(loss|acc)_(\d+)_(\d+)")
MAX_POINTS = 10_000_000  # of files with a dataset for each point
EXAMPLE = "-1:1:10"  # that tool's own default
FORMATS = "a surface of losscape_mpi, of the 2018 tool, of losscape, or loss_0_0, loss_0_1, ..."


def read_any(path: Path, *, axes: Axes | None = None) -> Surface:
    """Return the surface that a file holds, whatever tool wrote it.

    Args:
        path: HDF5 file of ours, of the 2018 tool, of losscape (`data.h5`) or of nreHieW/loss
            (`loss_{i}_{j}`); NPZ file of ours, of dnn-mode-connectivity or of Landscaper; .npy
            or text with a matrix of losses; text with a line for each point, such as our own.
        axes: Coordinates of alpha and beta for a file that holds none; others use their own.

    Returns:
        Axis 0 is alpha, axis 1 is beta; accuracy is a fraction. Split "data" where the file does
        not tell which samples were used.

    Raises:
        UserError: If the file is missing, damaged, something else, or needs `axes`.
    """
    start = _first_bytes(path)
    if start.startswith(ZIP_START):
        return _read_npz(path)
    if not start.startswith(HDF5_START) and not _is_hdf5(path):
        return _read_plain(path, start, axes)
    with opened(path, "surface file") as file:
        names = list(file)
        if "losses" in file and {"X", "Y"} <= set(names):
            return _losscape(file, path)
    if "manifest" in names:
        return read_surface(path)
    if "xcoordinates" in names:
        return read_2018_surface(path)
    if any(SCALAR.fullmatch(name) for name in names):
        return _read_scalars(path, axes)
    found = ", ".join(names[:4]) or "nothing"
    raise UserError(f"{path} holds {found}; expected {FORMATS}")


def parse_axes(text: str) -> Axes:
    """Return the coordinates that a text such as "-1:1:10" or "-1:1:10,-1:1:5" describes.

    Args:
        text: MIN:MAX:NUM for both axes, or for alpha and beta separated by a comma.

    Raises:
        UserError: If it has another form.
    """
    parts = [part.split(":") for part in text.split(",")]
    try:
        if len(parts) not in (1, 2):
            raise ValueError
        alpha, beta = (_axis(*parts[k]) for k in (0, -1))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"found --axes {text}, expected MIN:MAX:NUM for both axes or for alpha and beta "
            f"separated by a comma, for example {EXAMPLE}"
        ) from error
    return alpha, beta


def _axis(low: str, high: str, num: str) -> np.ndarray:
    ends, count = (float(low), float(high)), int(num)
    if count < 1 or not np.isfinite(ends).all():
        raise ValueError
    return axis(*ends, count)


def _first_bytes(path: Path) -> bytes:
    refuse_irregular(path)
    try:
        with path.open("rb") as file:
            return file.read(len(HDF5_START))
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); expected a surface file"
        ) from error


def _is_hdf5(path: Path) -> bool:
    """Return whether HDF5's signature comes later in the file, after a user block."""
    return bool(h5py.is_hdf5(path))


def _read_plain(path: Path, start: bytes, axes: Axes | None) -> Surface:
    if start.startswith(NPY_START):
        return read_npy(path, axes)
    if path.suffix.lower() in TEXT_SUFFIXES:
        return read_text(path, axes)
    refuse_study(path)
    raise UserError(
        f"{path} is neither an HDF5 nor an NPZ file, and no .npy or .csv; expected a surface file"
    )


def _read_npz(path: Path) -> Surface:
    arrays = load_npz(path)
    if {"manifest", "alpha"} <= set(arrays):
        return read_npz(path)
    for fits, read in ((is_mode_plane, mode_plane), (is_landscaper, landscaper)):
        if fits(arrays):
            try:
                return read(arrays, path)
            except (ValueError, TypeError) as error:
                raise UserError(f"{path} holds no numbers where they should be") from error
    found = ", ".join(list(arrays)[:4]) or "nothing"
    raise UserError(
        f"{path} holds {found}; expected the NPZ file of losscape_mpi, of dnn-mode-connectivity "
        "(alphas, betas, ...) or of Landscaper (loss, coordinates)"
    )


def _losscape(file: h5py.File, path: Path) -> Surface:
    """Return the surface of losscape's data.h5: three arrays in mesh order, [y, x]."""
    x, y, losses = (np.asarray(file[name][()], np.float64) for name in ("X", "Y", "losses"))
    is_mesh = x.ndim == 2 and x.shape == y.shape == losses.shape
    if not is_mesh or (x != x[:1]).any() or (y != y[:, :1]).any():
        raise UserError(
            f"{path} has X {x.shape}, Y {y.shape}, losses {losses.shape}; expected a mesh whose "
            "X changes along rows and Y along columns"
        )
    alpha, beta = axis_of(x[0], path, "X"), axis_of(y[:, 0], path, "Y")
    values = {loss_column("train"): losses.T.copy()}
    return foreign_surface(path, "losscape", (alpha, beta), values)


def _read_scalars(path: Path, axes: Axes | None) -> Surface:
    """Return the surface of a file of single numbers loss_{i}_{j}; i counts alpha."""
    with opened(path, "file of loss_{i}_{j}") as file:
        places = {name: SCALAR.fullmatch(name) for name in file}
        found = [(m[1], int(m[2]), int(m[3]), file[n]) for n, m in places.items() if m]
        shape = (max(i for _, i, _, _ in found) + 1, max(j for _, _, j, _ in found) + 1)
        if shape[0] * shape[1] > MAX_POINTS:
            raise UserError(f"{path} names a point of {shape[0]} x {shape[1]}, which is too large")
        if axes is None:
            raise UserError(
                f"{path} holds {shape[0]} x {shape[1]} points without coordinates; expected "
                f"--axes MIN:MAX:NUM as they were computed, for example --axes {EXAMPLE}"
            )
        if shape != (len(axes[0]), len(axes[1])):
            raise UserError(
                f"{path} holds {shape[0]} x {shape[1]} points, found --axes for "
                f"{len(axes[0])} x {len(axes[1])}; expected the same numbers"
            )
        raw = {kind: np.full(shape, np.nan) for kind in dict.fromkeys(kind for kind, *_ in found)}
        pending = np.full(shape, len(raw))
        for kind, i, j, number in found:
            raw[kind][i, j] = float(number[()])
            pending[i, j] -= 1
    values = {loss_column(UNKNOWN_SPLIT): raw["loss"]} if "loss" in raw else {}
    if "acc" in raw:
        values[accuracy_column(UNKNOWN_SPLIT)] = shifted(raw["acc"], -2)
    status = status_of(values, pending > 0)
    return foreign_surface(path, "nreHieW/loss", axes, values, status)
