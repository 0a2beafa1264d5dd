"""Which points of a large grid a figure shows: no more than it has pixels for.

A drawn point is a point of the file, with its own value. An unfinished grid is drawn from its
finest lattice that the run has been through: a run goes from coarse to fine (`study.grid`), and
holes smaller than a pixel tell nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from losscape_mpi.figures.field import Field, can_be_contoured, center_index, make_field
from losscape_mpi.store.layout import POINT_DATASETS
from losscape_mpi.store.surface import Surface
from losscape_mpi.study.grid import refinement_levels

LARGEST_SIZE = 1001  # points along an axis: the pixels of 5 inches at 200 to the inch
SEEN_SIZE = 401  # along an axis, up to which a hole is seen: two pixels
SMALLEST_SIZE = 26  # along the longer axis of a lattice that stands for an unfinished grid
FEW = 0.05  # of the drawn points: so many may be marked for a neighbour that is not drawn


def fit_to_pixels(field: Field, largest: int = LARGEST_SIZE, seen: int = SEEN_SIZE) -> Field:
    """Return the points of a field that a flat map shows; small grids as they are.

    Args:
        field: Any values.
        largest: Points along an axis that a map has pixels for.
        seen: Points along an axis up to which every grid is drawn as it is.
    """
    if max(field.values.shape) <= seen:
        return field
    if can_be_contoured(field):
        return thinned(field, largest)
    lattices = _lattices(field.values.shape)
    for rows, columns in lattices:
        if max(len(rows), len(columns)) < SMALLEST_SIZE:
            break
        coarse = _picked(field, rows, columns)
        if can_be_contoured(coarse):
            return coarse
    fits = (place for place in lattices if max(map(len, place)) <= seen)
    return _picked(field, *next(fits, lattices[-1]))


def thinned(field: Field, most: int) -> Field:
    """Return about `most` evenly spread points along each axis that has more.

    Both ends, the center, and the rows of the smallest and the largest value are among them.
    """
    shape = field.values.shape
    if max(shape) <= most or most < 2:
        return field
    center = center_index(field) or (shape[0] // 2, shape[1] // 2)
    kept = [_even(num, most, middle) for num, middle in zip(shape, center, strict=True)]
    if len(field.finite):
        for flat in (np.nanargmin(field.values), np.nanargmax(field.values)):
            place = np.unravel_index(flat, shape)
            kept = [np.union1d(some, [k]) for some, k in zip(kept, place, strict=True)]
    return _picked(field, *kept)


def thinned_surface(surface: Surface, column: str, most: int = LARGEST_SIZE) -> Surface:
    """Return about `most` points along each axis of a surface, chosen as `thinned` does.

    Args:
        surface: Any surface; one that is small enough is returned as it is.
        column: Whose smallest and largest value are among the points.
        most: Points along an axis.
    """
    if max(surface.status.shape) <= most or surface.is_line:
        return surface
    if not surface.counts()["done"]:
        return surface
    field = thinned(make_field(surface, column), most)
    rows = np.flatnonzero(np.isin(surface.alpha, field.alpha))
    columns = np.flatnonzero(np.isin(surface.beta, field.beta))
    some = np.ix_(rows, columns)
    points: dict[str, Any] = {name: getattr(surface, name)[some] for name in POINT_DATASETS}
    values = {name: array[some] for name, array in surface.values.items()}
    points |= {"alpha": surface.alpha[rows], "beta": surface.beta[columns]}
    return replace(surface, values=values, **points)


def _even(num: int, most: int, middle: int) -> np.ndarray:
    """Return indices of an axis: every k-th to both sides of one of them, and the ends."""
    every = max(1, -(-(num - 1) // (most - 1)))
    return np.union1d(np.arange(middle % every, num, every), [0, num - 1])


def _lattices(shape: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the rows and columns that a run visits before it goes on, the finest first."""
    alpha, beta = (refinement_levels(num) for num in shape)
    depths = range(max(alpha.max(), beta.max()) - 1, -1, -1)
    return [(np.flatnonzero(alpha <= depth), np.flatnonzero(beta <= depth)) for depth in depths]


def _picked(field: Field, rows: np.ndarray, columns: np.ndarray) -> Field:
    """Return some rows and columns of a field."""
    some = np.ix_(rows, columns)
    return replace(
        field,
        alpha=field.alpha[rows],
        beta=field.beta[columns],
        values=field.values[some],
        missing={reason: _marked(mask, rows, columns) for reason, mask in field.missing.items()},
        stderr=None if field.stderr is None else field.stderr[some],
        exact=None if field.exact is None else field.exact[some],
        blocks=None if field.blocks is None else field.blocks[some],
        whole=field.whole or field,
    )


def _marked(mask: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return which drawn points are marked as missing: those next to any missing one, if few.

    So the only failed point of a million is seen, and a half-finished grid is not covered.
    """
    near = [nearest(some, num) for some, num in zip((rows, columns), mask.shape, strict=True)]
    i, j = np.nonzero(mask)
    marked = np.zeros((len(rows), len(columns)), dtype=bool)
    marked[near[0][i], near[1][j]] = True
    return marked if marked.mean() <= FEW else mask[np.ix_(rows, columns)]


def nearest(some: np.ndarray, num: int) -> np.ndarray:
    """Return for each of `num` indices which of some ascending ones is nearest, shape (num,)."""
    return np.searchsorted((some[1:] + some[:-1]) / 2, np.arange(num), side="left")
