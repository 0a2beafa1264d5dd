"""Surfaces as plain matrices: NumPy's .npy, and text without a header."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.point.column import loss_column
from losscape_mpi.store.exchange.file import UNKNOWN_SPLIT, axis_of, foreign_surface
from losscape_mpi.store.surface import Surface

Axes = tuple[np.ndarray, np.ndarray]
EXAMPLE_AXES = "-1:1:10"
NPY_START = b"\x93NUMPY"


def read_npy(path: Path, axes: Axes | None) -> Surface:
    """Return the surface of a .npy file: losses (num_alpha, num_beta), or (num_alpha,) of a line.

    Args:
        path: The file; nothing in it is ever unpickled, nor read before its size is known.
        axes: Coordinates of alpha and beta, which the file does not hold.

    Raises:
        UserError: If it is damaged, holds something else, or `axes` are missing or others.
    """
    try:
        # Mapped: a header that promises more than the file holds is found before memory is taken.
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, TypeError, SyntaxError, OverflowError) as error:
        raise UserError(f"{path} is no readable .npy file ({first_line(error)})") from error
    if table.dtype.kind not in "iuf":
        raise UserError(f"{path} holds {table.dtype}; expected real numbers")
    return matrix_surface(path, table, axes, "NPY")


def matrix_surface(path: Path, table: np.ndarray, axes: Axes | None, source: str) -> Surface:
    """Return the surface of a matrix of losses whose axis 0 is alpha.

    Args:
        path: Where it was read.
        table: Losses of shape (num_alpha, num_beta), or (num_alpha,).
        axes: Coordinates; None where the file has none and nobody gave them.
        source: Kind of the file.

    Raises:
        UserError: If there are no axes, or others than the matrix has.
    """
    if table.ndim not in (1, 2) or table.size == 0:
        raise UserError(f"{path} holds an array of shape {table.shape}; expected losses (n, m)")
    if axes is None:
        raise UserError(
            f"{path} holds {' x '.join(map(str, table.shape))} numbers without coordinates; "
            "expected --axes MIN:MAX:NUM for both axes, or for alpha (lines) and beta (columns) "
            f"separated by a comma, such as --axes {EXAMPLE_AXES}"
        )
    alpha, beta = axis_of(axes[0], path, "alpha"), axis_of(axes[1], path, "beta")
    is_line = table.ndim == 1
    if is_line:
        table, beta = table[:, None], np.zeros(1)
    _check_axes(path, table.shape, alpha, beta)
    # Descending coordinates are turned round, and the losses with them.
    i, j = np.argsort(alpha), np.argsort(beta)
    losses = np.array(table, dtype=np.float64)[np.ix_(i, j)]
    grid = (alpha[i], None if is_line else beta[j])
    return foreign_surface(path, source, grid, {loss_column(UNKNOWN_SPLIT): losses})


def _check_axes(path: Path, shape: tuple[int, ...], alpha: np.ndarray, beta: np.ndarray) -> None:
    for axis, found in (("alpha", alpha), ("beta", beta)):
        steps = np.diff(found)
        if len(steps) and not ((steps > 0).all() or (steps < 0).all()):
            raise UserError(f"{path}: {axis} neither ascends nor descends; expected coordinates")
    wanted = (len(alpha), len(beta))
    if shape != wanted:
        hint = ": does it lie the other way? transpose it" if shape[::-1] == wanted else ""
        raise UserError(
            f"{path} holds {' x '.join(map(str, shape))} numbers (alpha x beta), found coordinates "
            f"for {' x '.join(map(str, wanted))}; expected the same{hint}"
        )
