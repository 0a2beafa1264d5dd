"""Surfaces as text: a line for each point under a header, or a matrix of losses."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.point.column import columns_from_names
from losscape_mpi.point.status import PENDING
from losscape_mpi.store.exchange.file import UNKNOWN_SPLIT, foreign_surface, status_of
from losscape_mpi.store.exchange.matrix import Axes, matrix_surface
from losscape_mpi.store.surface import Surface

MAX_BYTES = 1 << 30
STATUS_CODES = {"pending": 0, "done": 1, "nonfinite": 2, "failed": 3}  # as write_csv names them
AXIS_NAMES = {"alpha": ("alpha", "x", "d1"), "beta": ("beta", "y", "d2")}
QUANTITIES = {"acc": "accuracy"}
Rows = list[list[str]]


def read_text(path: Path, axes: Axes | None) -> Surface:
    """Return the surface of a text file whose cells commas, semicolons, tabs or spaces separate.

    A line for each point has a header with alpha, beta (x, y) and the values; a file of ours is
    such a one. A matrix has alpha along its lines and beta along its columns, with their
    coordinates in the first column and the first line, or without: then `axes` gives them.

    Args:
        path: The file.
        axes: Coordinates of alpha and beta for a matrix without any.

    Raises:
        UserError: If it is no table of numbers, or may mean two things.
    """
    rows, name = _cells(path)
    words = [cell.strip().lower() for cell in rows[0]]
    if any(word in AXIS_NAMES["alpha"] for word in words):
        return _points(path, words, rows[1:], name)
    if "checkpoint" in words:
        raise UserError(f"{path} is the table of a training path; expected that of a surface")
    return _matrix(path, rows, axes)


def _cells(path: Path) -> tuple[Rows, str]:
    """Return the cells of a file's lines, and the name that a comment of ours gives."""
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path} has more than {MAX_BYTES} bytes; expected a table of a surface")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text in UTF-8; expected a surface file") from None
    told = [line.removeprefix("# study: ") for line in lines if line.startswith("# study: ")]
    kept = [line for line in lines if line.strip() and not line.startswith("#")]
    if not kept:
        raise UserError(f"{path} holds no line of numbers; expected a table of a surface")
    mark = next((mark for mark in "\t;," if mark in kept[0]), None)
    rows = list(csv.reader(kept, delimiter=mark)) if mark else [line.split() for line in kept]
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise UserError(
            f"{path} has lines of {min(lengths)} and of {max(lengths)} cells; expected a table, "
            "all lines alike"
        )
    return rows, told[0] if told else path.stem


def _points(path: Path, words: Sequence[str], rows: Rows, name: str) -> Surface:
    """Return the surface of a file with a line for each point."""
    table = dict(zip(words, map(list, zip(*rows, strict=True)), strict=False))
    if len(set(words)) < len(words) or not rows:
        raise UserError(f"{path} has a column twice or no points: {', '.join(words)}")
    places = {
        axis: _numbers(table.pop(word), path, word)
        for axis, names in AXIS_NAMES.items()
        for word in words
        if word in names
    }
    states = table.pop("status", None)
    values = {_column_name(word): _numbers(cells, path, word) for word, cells in table.items()}
    alpha, i = _lattice(places["alpha"], path, "alpha")
    beta, j = _lattice(places.get("beta", np.zeros(len(rows))), path, "beta")
    shape = (len(alpha), len(beta))
    _check_lattice(path, shape, i * len(beta) + j, bool(values))
    columns = columns_from_names(list(values))
    arrays = {column: _placed(values[column.name], shape, i, j) for column in columns}
    _check_shares(path, {column.name: arrays[column] for column in columns if column.is_share})
    pending = np.ones(shape, dtype=bool)
    pending[i, j] = False
    status = status_of(arrays, pending)
    if states is not None:
        status[i, j] = [STATUS_CODES.get(state.strip(), PENDING) for state in states]
    grid = (alpha, beta if "beta" in places else None)
    return foreign_surface(path, "CSV", grid, arrays, status, provenance={"name": name})


def _column_name(word: str) -> str:
    """Return SPLIT/QUANTITY of a header: train/loss, train_loss, loss."""
    split, slash, quantity = word.partition("/")
    if not slash:
        found = re.fullmatch(r"(train|test)[_ ](\w+)", word)
        split, quantity = found.groups() if found else (UNKNOWN_SPLIT, word)
    return f"{split}/{QUANTITIES.get(quantity, quantity)}"


def _lattice(places: np.ndarray, path: Path, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of an axis in order, and the number of each point's."""
    if not np.isfinite(places).all():
        raise UserError(f"{path}: {axis} holds NaN or infinity; expected finite coordinates")
    ordered, numbers = np.unique(places, return_inverse=True)
    return ordered, numbers.ravel()


def _check_lattice(path: Path, shape: tuple[int, int], flat: np.ndarray, has_values: bool) -> None:
    count = len(flat)
    if len(np.unique(flat)) < count:
        raise UserError(f"{path} has two lines for one point; expected one")
    if 2 * count < shape[0] * shape[1]:
        raise UserError(
            f"{path} has {count} points of a lattice of {shape[0]} x {shape[1]}; expected points "
            "on a grid: at least half of it"
        )
    if not has_values:
        raise UserError(f"{path} has coordinates alone; expected a column such as loss")


def _check_shares(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        most = np.nanmax(array, initial=0.0)
        if most > 1:
            raise UserError(
                f"{path}: {name} goes up to {most:g}; expected shares from 0 to 1: divide percent "
                "by 100"
            )


def _placed(
    numbers: np.ndarray, shape: tuple[int, int], i: np.ndarray, j: np.ndarray
) -> np.ndarray:
    array = np.full(shape, np.nan)
    array[i, j] = numbers
    return array


def _matrix(path: Path, rows: Rows, axes: Axes | None) -> Surface:
    """Return the surface of a matrix, with coordinates about it or without."""
    has_corner = not _is_number(rows[0][0])
    if not has_corner and axes is None:
        raise UserError(
            f"{path} has numbers in its first line: neither a header (alpha, beta, loss) nor "
            "coordinates tell what they are; write a header, or pass --axes MIN:MAX:NUM for a "
            "matrix of losses"
        )
    if not has_corner:
        table = np.array([_numbers(row, path, "a line") for row in rows])
        return matrix_surface(path, table, axes, "CSV")
    if len(rows) < 2 or len(rows[0]) < 2:
        raise UserError(f"{path} begins with {rows[0][0]!r}; expected a table of numbers")
    beta = _numbers(rows[0][1:], path, "the first line")
    alpha = _numbers([row[0] for row in rows[1:]], path, "the first column")
    table = np.array([_numbers(row[1:], path, "a line") for row in rows[1:]])
    are_counts = all(line.tolist() == list(range(len(line))) for line in (alpha, beta))
    if are_counts or axes is not None:  # the index of a data frame
        return matrix_surface(path, table, axes, "CSV")
    return matrix_surface(path, table, (alpha, beta), "CSV")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(cells: Sequence[str], path: Path, where: str) -> np.ndarray:
    for cell in cells:
        if not _is_number(cell):
            raise UserError(
                f"{path}: {cell[:40]!r} in {where} is no number; expected a header with alpha, "
                "beta and loss above a line for each point, or a matrix"
            )
    return np.array([float(cell) for cell in cells])
