"""One column of a surface, ready to draw: its values, and what is missing for which reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.figures.column import POINT_COLUMNS, column_of, column_words, drawable
from losscape_mpi.figures.number import is_constant, within_range
from losscape_mpi.point.column import Column
from losscape_mpi.point.status import DONE, FAILED, NONFINITE, PENDING
from losscape_mpi.store.layout import UNKNOWN_WORKER
from losscape_mpi.store.surface import Surface

SMALLEST_CONTOURED = 3  # points along an axis; two give contours of one single cell
ENOUGH_COVERED = 0.9  # share of the points that contours must reach, else cells are drawn


@dataclass(frozen=True, eq=False)
class Field:
    """Values of one column on the grid; axis 0 is alpha, axis 1 is beta.

    Attributes:
        column: Name such as "train/loss".
        about: What the values are.
        words: The same for a reader, such as "training loss".
        alpha: Coordinates of axis 0, shape (n,).
        beta: Coordinates of axis 1, shape (m,).
        values: Finite numbers, NaN where there is nothing to draw, shape (n, m).
        missing: Masks (n, m) by reason: "not computed", "failed", "not finite".
        stderr: Standard errors (n, m), or None where the file has none.
        blocks: Which point's value each point shows, as flat indices (n, m), -1 for none; None
            where every point shows its own (`blocks.with_blocks`).
        axis_names: What axis 0 and axis 1 are called; a training path has one.
        exact: The values as the file holds them, also those that cannot be drawn so (`number`);
            None where `values` are these.
        whole: The field of all points that this one shows some of; None where it is whole.
    """

    column: str
    about: Column
    words: str
    alpha: np.ndarray
    beta: np.ndarray
    values: np.ndarray
    missing: dict[str, np.ndarray]
    stderr: np.ndarray | None
    blocks: np.ndarray | None = None
    axis_names: tuple[str, ...] = ("alpha", "beta")
    exact: np.ndarray | None = None
    whole: Field | None = None

    @property
    def is_path(self) -> bool:
        """Whether the points are the checkpoints of a training path."""
        return len(self.axis_names) == 1

    @property
    def finite(self) -> np.ndarray:
        """The numbers to draw, flat, without the missing ones."""
        return self.values[np.isfinite(self.values)]


def make_field(surface: Surface, column: str) -> Field:
    """Return one column of a surface.

    Args:
        surface: Any surface.
        column: A value column such as "train/loss" or "train/loss_stderr", or one of
            `POINT_COLUMNS`.

    Raises:
        UserError: If the surface has no such column, or nothing is computed yet.
    """
    about, words = column_of(surface, column), column_words(surface, column)
    computed = np.isin(surface.status, (DONE, NONFINITE))
    if not computed.any():
        failed = int((surface.status == FAILED).sum())
        found = f"{failed} of {computed.size} points failed" if failed else "every point is pending"
        raise UserError(
            f"{surface.path}: nothing computed yet ({found}); run losscape_mpi.surface first"
        )
    if column in POINT_COLUMNS:
        return _point_field(surface, column, about)
    array = np.asarray(surface.values[column], dtype=np.float64)
    finite = np.isfinite(array)
    missing = {
        "not computed": surface.status == PENDING,
        "failed": surface.status == FAILED,
        "not finite": computed & ~finite,
    }
    values = np.where(computed & finite, array, np.nan)
    axes, stderr = (surface.alpha, surface.beta), surface.error(column)
    parts: dict[str, Any] = {"axis_names": surface.axis_names, "exact": values}
    errors = None if stderr is None else within_range(stderr)
    return Field(column, about, words, *axes, within_range(values), missing, errors, **parts)


def _point_field(surface: Surface, column: str, about: Column) -> Field:
    if "source" in surface.manifest:
        raise UserError(
            f"{surface.path} has no {column}: it comes from another tool; expected one of "
            f"{', '.join(drawable(surface))}"
        )
    array = np.asarray(getattr(surface, column), dtype=np.float64)
    known = (surface.status != PENDING) & (array != UNKNOWN_WORKER if column == "worker" else True)
    values = np.where(known, array, np.nan)
    axes, missing = (surface.alpha, surface.beta), {"not computed": ~known}
    names, words = surface.axis_names, about.description
    return Field(column, about, words, *axes, values, missing, None, axis_names=names)


def name_of_place(surface: Surface) -> str:
    """Return what a surface is that is no plane."""
    return "a training path" if surface.is_path else "a 1-D profile"


def complete_cells(values: np.ndarray) -> np.ndarray:
    """Return which cells between four points have all four values, shape (n - 1, m - 1)."""
    there = np.isfinite(values)
    return there[:-1, :-1] & there[1:, :-1] & there[:-1, 1:] & there[1:, 1:]


def at_cells(cells: np.ndarray) -> np.ndarray:
    """Return which points are a corner of a marked cell, shape (n, m) from (n - 1, m - 1)."""
    n, m = cells.shape
    corners = np.zeros((n + 1, m + 1), dtype=bool)
    for i in (0, 1):
        for j in (0, 1):
            corners[i : i + n, j : j + m] |= cells
    return corners


def can_be_contoured(field: Field) -> bool:
    """Return whether contours show the field: dense enough, and not the same value everywhere."""
    if field.blocks is not None:
        return False
    finite = field.finite
    if min(field.values.shape) < SMALLEST_CONTOURED or not len(finite) or is_constant(finite):
        return False
    reached = at_cells(complete_cells(field.values))
    return bool(reached.sum() >= ENOUGH_COVERED * len(finite))


def cell_edges(axis: np.ndarray) -> np.ndarray:
    """Return the borders halfway between the points of an axis, shape (num + 1,)."""
    if len(axis) == 1:
        return axis[0] + np.array([-0.5, 0.5])
    middle = (axis[1:] + axis[:-1]) / 2
    return np.concatenate([[2 * axis[0] - middle[0]], middle, [2 * axis[-1] - middle[-1]]])


def why_missing(field: Field, index: tuple[int, int]) -> str:
    """Return why a point has no value of its own, such as "not computed"; empty where it has."""
    own = index[0] * field.values.shape[1] + index[1]
    if field.blocks is not None and field.blocks[index] not in (-1, own):
        return "not computed"  # it shows another point's value
    return next((reason for reason, mask in field.missing.items() if mask[index]), "")


def center_index(place: Field | Surface) -> tuple[int, int] | None:
    """Return the indices of the trained parameters, or None where the grid leaves them out.

    A training path has no center.
    """
    if place.is_path:
        return None
    i, j = np.flatnonzero(place.alpha == 0), np.flatnonzero(place.beta == 0)
    return (int(i[0]), int(j[0])) if len(i) and len(j) else None
