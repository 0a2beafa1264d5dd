"""The parts of an open surface file, each checked against what the others say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.point.column import Column, columns_from_names
from losscape_mpi.store.agreement import check_axes, check_identity
from losscape_mpi.store.layout import FORMATS
from losscape_mpi.store.record import Manifest, Provenance, check_record
from losscape_mpi.store.surface import axis_names_of
from losscape_mpi.store.text import check_texts, parse_json, read_text

MAX_COLUMNS = 10_000
NUMBERS = ("low", "high")


def read_manifest(file: h5py.File, path: Path) -> dict[str, Any]:
    """Return the manifest of an open file, once it and all other texts are found sound.

    Raises:
        UserError: If there is none, or one of another format version.
        ValueError: If it is damaged.
    """
    if "manifest" not in file:
        raise UserError(f"{path} is an HDF5 file, but no losscape_mpi surface: it has no manifest")
    check_texts(file)
    manifest = parse_json(read_text(file, "manifest"), "manifest")
    check_format(manifest, path)
    check_record(Manifest, manifest, "manifest")
    check_identity(manifest)
    return manifest


def check_format(manifest: Any, path: Path) -> None:
    """Refuse the manifest of another format version."""
    if not isinstance(manifest, dict):
        raise ValueError("manifest is no mapping")
    found = manifest.get("format")
    if isinstance(found, bool) or not isinstance(found, int) or found not in FORMATS:
        raise UserError(
            f"{path} has format version {found}, this program reads "
            f"{' and '.join(map(str, FORMATS))}; use the release that wrote it"
        )


def read_provenance(file: h5py.File) -> dict[str, Any]:
    """Return the provenance of an open file."""
    told = parse_json(read_text(file, "provenance"), "provenance")
    return check_record(Provenance, told, "provenance")


def read_axes(file: h5py.File, manifest: Mapping[str, Any]) -> list[np.ndarray]:
    """Return the coordinates of each axis, once they are found to be those of the study."""
    axes = [read_array(file, f"axes/{n}", "f8", None) for n in axis_names_of(manifest)]
    check_axes(manifest, axes)
    return axes


def read_columns(file: h5py.File) -> list[Column]:
    """Return the value columns in the order of the checksum; format 1 tells their names only."""
    return columns_of(parse_json(read_text(file, "columns"), "columns"))


def columns_of(told: Any) -> list[Column]:
    """Return the columns that a file tells, as objects or by their names."""
    if not isinstance(told, list) or not 0 < len(told) <= MAX_COLUMNS:
        raise ValueError("columns are no list of columns")
    if all(isinstance(each, str) for each in told):
        columns = columns_from_names(told)
    else:
        columns = [_column(each) for each in told]
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1 or not all(name.split("/")) or "/" not in name:
            raise ValueError(f"found the column {name!r}, expected SPLIT/QUANTITY once")
    return columns


def read_array(file: h5py.File, name: str, dtype: Any, shape: tuple[int, ...] | None) -> np.ndarray:
    """Return an array of an open file.

    Args:
        file: The file.
        name: Of the dataset.
        dtype: What it must be stored as.
        shape: What it must have; None allows any number of rows.

    Raises:
        ValueError: If it is of another type or shape.
        KeyError: If there is none.
    """
    data, wanted = file[name], np.dtype(dtype)
    if not isinstance(data, h5py.Dataset) or data.dtype != wanted:
        found = data.dtype if isinstance(data, h5py.Dataset) else "a group"
        raise ValueError(f"{name} holds {found}, expected {wanted}")
    if data.shape != shape and (shape is not None or len(data.shape) != 1):
        raise ValueError(f"{name} has shape {data.shape}, expected {shape or '(n,)'}")
    return np.asarray(data[()])


def _column(told: Any) -> Column:
    if not isinstance(told, dict):
        raise ValueError("a column is no mapping")
    for field in fields(Column):
        value = told.get(field.name, "")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if field.name in NUMBERS and field.name in told:
            fits = value is None or is_number
        else:
            fits = isinstance(value, str)
        if not fits:
            raise ValueError(f"found {field.name}: {value!r} of a column")
    return Column.from_json(told)
