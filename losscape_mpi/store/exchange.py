"""Direction and surface files of the 2018 tool (tomgoldstein/loss-landscape): read and written.

Its surface files hold percent instead of fractions, -1 for what was not computed, and an axis
order that its own shapes contradict; all three are mended here (docs/file-format.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import h5py
import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.store.layout import (
    DONE,
    FORMAT,
    NONFINITE,
    PENDING,
    POINT_DATASETS,
    UNKNOWN_WORKER,
)
from losscape_mpi.store.reader import first_line
from losscape_mpi.store.surface import Surface

SOURCE = "2018 tool"
GROUPS = {"alpha": "xdirection", "beta": "ydirection"}
COLUMNS = {
    "train_loss": "train/loss",
    "train_acc": "train/accuracy",
    "test_loss": "test/loss",
    "test_acc": "test/accuracy",
}
FILL = -1.0  # loss and accuracy are both -1 where the 2018 tool computed nothing


def looks_like_2018(path: Path) -> bool:
    """Return whether a file is an HDF5 file with the 2018 tool's surface coordinates."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return "xcoordinates" in file
    except OSError:
        return False


def read_2018_directions(path: Path) -> dict[str, list[np.ndarray]]:
    """Return the direction tensors of a 2018 file by axis, in the order of the network's tensors.

    Args:
        path: Direction file with the group `xdirection` and, for a plane, `ydirection`.

    Returns:
        Lists under "alpha" and, if the file has it, "beta".

    Raises:
        UserError: If the file is missing, unreadable, or holds something else.
    """
    with _opened(path, "direction") as file:
        if "xdirection" not in file:
            raise UserError(f"{path} has no group 'xdirection'; expected a 2018 direction file")
        return {axis: _tensors(file[g], path) for axis, g in GROUPS.items() if g in file}


def write_2018_directions(path: Path, directions: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Write direction tensors as the 2018 tool does: one numbered dataset for each tensor.

    Args:
        path: New file; replaced as a whole if it exists.
        directions: Lists under "alpha" and, for a plane, "beta".

    Raises:
        UserError: If the file cannot be written.
    """
    with _replaced(path) as file:
        for axis, tensors in directions.items():
            for number, tensor in enumerate(tensors):
                file.create_dataset(f"{GROUPS[axis]}/{number}", data=tensor, track_times=False)


def read_2018_surface(path: Path) -> Surface:
    """Return the surface that a 2018 file holds, with axis 0 = alpha and accuracy as a fraction.

    A point whose loss and accuracy are both -1 is pending; 0, NaN and infinity are values.

    Raises:
        UserError: If the file is missing, unreadable, or holds something else.
    """
    with _opened(path, "surface") as file:
        if "xcoordinates" not in file:
            raise UserError(f"{path} has no 'xcoordinates'; expected a surface file of 2018")
        alpha = np.asarray(file["xcoordinates"][()], dtype=np.float64)
        is_line = "ycoordinates" not in file
        beta = np.zeros(1) if is_line else np.asarray(file["ycoordinates"][()], dtype=np.float64)
        shape = (len(alpha),) if is_line else (len(alpha), len(beta))
        stored = {name: file[name][()] for name in COLUMNS if name in file}
        directions = file["dir_file"].asstr()[()] if "dir_file" in file else ""
    if not stored or 0 in shape or any(a.shape != shape for a in stored.values()):
        found = {name: array.shape for name, array in stored.items()} or "no loss or accuracy"
        raise UserError(f"{path} holds {found}; expected train_loss, train_acc of shape {shape}")
    manifest = _manifest(alpha, None if is_line else beta)
    provenance = {"name": path.stem, "directions": str(directions)}
    values, status = _mended(stored, (len(alpha), len(beta)))
    points = {name: np.zeros(status.shape, dtype) for name, dtype in POINT_DATASETS.items()}
    points |= {"status": status, "worker": np.full(status.shape, UNKNOWN_WORKER, dtype="u2")}
    return Surface(path, manifest, provenance, alpha, beta, values, **points)


def write_2018_surface(surface: Surface, path: Path) -> None:
    """Write a surface as the 2018 tool does: the inverse of `read_2018_surface`.

    Failed points become "not computed"; standard errors and counts have no place there.
    An accuracy of more than 15 digits may change by one unit in its last place.

    Args:
        surface: Any surface with a loss or an accuracy.
        path: New file; replaced as a whole if it exists.

    Raises:
        UserError: If a computed point would read as not computed, or the file cannot be written.
    """
    columns = _columns_of_2018(surface)
    with _replaced(path) as file:
        file["dir_file"] = str(surface.provenance.get("directions", ""))
        file["xcoordinates"] = surface.alpha
        if not surface.is_line:
            file["ycoordinates"] = surface.beta
        for name, values in columns.items():
            # The flat element k belongs to x[k mod nx], y[k div nx], whatever the shape says.
            data = values[:, 0] if surface.is_line else values.T.reshape(values.shape)
            file.create_dataset(name, data=data, track_times=False)


def _columns_of_2018(surface: Surface) -> dict[str, np.ndarray]:
    """Return loss and percent by the old names, with the fill value where nothing was computed."""
    columns = {old: surface.values[new] for old, new in COLUMNS.items() if new in surface.values}
    if not columns:
        raise UserError(f"{surface.path} has no loss or accuracy; the 2018 format holds only these")
    computed = np.isin(surface.status, (DONE, NONFINITE))
    flat = {}
    for name, values in columns.items():
        percent = _shifted(values, 2) if name.endswith("_acc") else values
        # A pending point may hold one split already; only its empty columns are filled.
        flat[name] = np.where(~computed & np.isnan(values), FILL, percent)
    if any((computed & empty).any() for empty in _uncomputed(flat).values()):
        raise UserError(
            f"{surface.path} has a computed value of exactly -1, which the 2018 format reads as "
            "'not computed'; keep the surface in its own format"
        )
    return flat


def _mended(
    stored: Mapping[str, np.ndarray], shape: tuple[int, int]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return values by our column names and the status, both of shape (num_alpha, num_beta)."""
    raw = {
        name: np.asarray(array, dtype=np.float64).reshape(shape[::-1]).T.copy()
        for name, array in stored.items()
    }
    status = np.full(shape, DONE, dtype="u1")
    status[~np.isfinite(list(raw.values())).all(axis=0)] = NONFINITE
    empty, values = _uncomputed(raw), {}
    for name, array in raw.items():
        pending = empty[_split(name)]
        status[pending] = PENDING
        scaled = _shifted(array, -2) if name.endswith("_acc") else array
        values[COLUMNS[name]] = np.where(pending, np.nan, scaled)
    return values, status


def _uncomputed(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return by split where all of its columns hold the fill value."""
    masks: dict[str, np.ndarray] = {}
    for name, array in columns.items():
        masks[_split(name)] = masks.get(_split(name), True) & (array == FILL)
    return masks


def _split(name: str) -> str:
    return COLUMNS[name].split("/")[0]


def _shifted(values: np.ndarray, places: int) -> np.ndarray:
    """Return values * 10**places by their decimal digits: 54.4 % is 0.544 and back again."""
    flat = [float(Decimal(repr(value)).scaleb(places)) for value in values.ravel().tolist()]
    return np.array(flat, dtype=np.float64).reshape(values.shape)


def _manifest(alpha: np.ndarray, beta: np.ndarray | None) -> dict[str, object]:
    grid = {"alpha": _range(alpha), "beta": None if beta is None else _range(beta)}
    problem = {"model": "unknown", "data": {"name": "unknown"}}
    return {"format": FORMAT, "source": SOURCE, "study": {"problem": problem, "grid": grid}}


def _range(axis: np.ndarray) -> list[float | int]:
    return [float(axis[0]), float(axis[-1]), len(axis)]


def _tensors(group: h5py.Group, path: Path) -> list[np.ndarray]:
    names = sorted(group, key=lambda name: int(name) if name.isdecimal() else -1)
    if not names or names != [str(number) for number in range(len(names))]:
        raise UserError(
            f"{path}:{group.name} holds {names[:3]}; expected datasets 0, 1, 2 without gaps"
        )
    return [np.asarray(group[name][()]) for name in names]


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[h5py.File]:
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected a {kind} file of the 2018 tool")
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is no readable {kind} file of the 2018 tool ({first_line(error)})"
        ) from error


@contextmanager
def _replaced(path: Path) -> Iterator[h5py.File]:
    temporary = path.with_name(f"{path.name}.tmp.{os.getpid()}")
    try:
        with h5py.File(temporary, "w") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({first_line(error)})") from error
    finally:
        temporary.unlink(missing_ok=True)
