"""Surface files of the 2018 tool (tomgoldstein/loss-landscape): read and written.

They hold percent instead of fractions, -1 for what was not computed, and an axis order that their
own shapes contradict; all three are mended here (docs/file-format.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.point.column import Column, accuracy_column, loss_column
from losscape_mpi.point.status import DONE, NONFINITE
from losscape_mpi.store.exchange.file import (
    axis_of,
    foreign_surface,
    opened,
    shifted,
    status_of,
    written_hdf5,
)
from losscape_mpi.store.surface import Surface

SOURCE = "2018 tool"
SUM = "Hessian eigenvalue, summed over batches"
# Sums, not means: no other number of ours has this unit, hence the names.
EIGENVALUES = {
    "min_eig": Column("train", "min_eigenvalue_batch_sum", description=f"smallest {SUM}"),
    "max_eig": Column("train", "max_eigenvalue_batch_sum", description=f"largest {SUM}"),
}
COLUMNS = {
    "train_loss": loss_column("train"),
    "train_acc": accuracy_column("train"),
    "test_loss": loss_column("test"),
    "test_acc": accuracy_column("test"),
    **EIGENVALUES,
}
# What stands in all columns of a group where the 2018 tool computed nothing.
FILL, OTHER_FILLS = -1.0, {"min_eig": 1.0}


def read_2018_surface(path: Path) -> Surface:
    """Return the surface that a 2018 file holds, with axis 0 = alpha and accuracy as a fraction.

    A point whose loss or accuracy is -1 is pending, of both where the file has other negative
    numbers; 0, NaN and infinity are values.

    Raises:
        UserError: If the file is missing, unreadable, or holds something else.
    """
    with opened(path, f"surface file of the {SOURCE}") as file:
        if "xcoordinates" not in file:
            raise UserError(f"{path} has no 'xcoordinates'; expected a surface file of 2018")
        alpha = axis_of(file["xcoordinates"][()], path, "xcoordinates")
        is_line = "ycoordinates" not in file
        beta = None if is_line else axis_of(file["ycoordinates"][()], path, "ycoordinates")
        shape = (len(alpha),) if beta is None else (len(alpha), len(beta))
        stored = {n: np.asarray(file[n][()], dtype="f8") for n in COLUMNS if n in file}
        directions = str(file["dir_file"].asstr()[()]) if "dir_file" in file else ""
    if not stored or any(a.shape != shape for a in stored.values()):
        found = {name: array.shape for name, array in stored.items()} or "no loss or accuracy"
        raise UserError(f"{path} holds {found}; expected train_loss, train_acc of shape {shape}")
    values, status = _mended(stored, (len(alpha), 1 if beta is None else len(beta)))
    words = {"directions": directions}
    return foreign_surface(path, SOURCE, (alpha, beta), values, status, provenance=words)


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
    with written_hdf5(path) as file:
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
    if surface.is_path:
        raise UserError(f"{surface.path} is a training path; the 2018 format holds planes")
    found = {old: surface.find(new.split, new.quantity) for old, new in COLUMNS.items()}
    columns = {old: surface.values[column.name] for old, column in found.items() if column}
    if not columns:
        raise UserError(f"{surface.path} has no loss or accuracy; the 2018 format holds only these")
    computed = np.isin(surface.status, (DONE, NONFINITE))
    flat = {}
    for name, values in columns.items():
        percent = shifted(values, 2) if COLUMNS[name].is_share else values
        # A pending point may hold one split already; only its empty columns are filled.
        flat[name] = np.where(~computed & np.isnan(values), _fill(name), percent)
    if any((computed & empty).any() for empty in _uncomputed(flat).values()):
        raise UserError(
            f"{surface.path} has a computed value of exactly -1, which the 2018 format reads as "
            "'not computed'; keep the surface in its own format"
        )
    return flat


def _mended(
    stored: Mapping[str, np.ndarray], shape: tuple[int, int]
) -> tuple[dict[Column, np.ndarray], np.ndarray]:
    """Return values by our columns and the status, both of shape (num_alpha, num_beta)."""
    raw = {name: array.reshape(shape[::-1]).T.copy() for name, array in stored.items()}
    empty = _uncomputed(raw)
    values = {}
    for name, array in raw.items():
        scaled = shifted(array, -2) if COLUMNS[name].is_share else array
        values[COLUMNS[name]] = np.where(empty[_group(name)], np.nan, scaled)
    by_column = {COLUMNS[name]: array for name, array in raw.items()}
    return values, status_of(by_column, np.logical_or.reduce(list(empty.values())))


def _uncomputed(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return by group where nothing was computed.

    Where no other number of loss and accuracy is negative, one fill value is enough, whatever
    stands beside it: programs made of the tool fill accuracies with 1. Else, and for eigenvalues,
    which may be -1 or 1, all columns must hold theirs.
    """
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, array in columns.items():
        groups.setdefault(_group(name), {})[name] = array
    masks = {}
    for group, arrays in groups.items():
        fills = [array == _fill(name) for name, array in arrays.items()]
        others = np.concatenate([a[~f] for a, f in zip(arrays.values(), fills, strict=True)])
        one_is_enough = group != "eig" and not (others < 0).any()
        masks[group] = (np.logical_or if one_is_enough else np.logical_and).reduce(fills)
    return masks


def _group(name: str) -> str:
    return "eig" if name in EIGENVALUES else COLUMNS[name].split


def _fill(name: str) -> float:
    return OTHER_FILLS.get(name, FILL)
