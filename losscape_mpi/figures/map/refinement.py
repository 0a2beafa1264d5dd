"""A finer grid for display: bicubic between the points, exact at them, never beyond those around.

Each point gets slopes of the parabola through its neighbours (Catmull-Rom, for any spacing), and
each cell between four points the bicubic polynomial of its corners' values and slopes. A point
above or below all its eight neighbours stays a top or a bottom: its slopes are 0. A cell with
a missing corner stays a hole, and a missing point takes part in no slope. None of it is a result.
"""

from __future__ import annotations

import numpy as np

from losscape_mpi.figures.field import at_cells, complete_cells

FINE_SIZE = 241  # points along an axis: a line's steps are four pixels of a picture of 5 inches
MOST_PARTS = 40  # of a cell: nine points need no more


def num_parts(num: int, fine_size: int = FINE_SIZE) -> int:
    """Return into how many parts each cell along an axis of `num` points is divided."""
    return max(1, min(MOST_PARTS, (fine_size - 1) // (num - 1))) if num > 1 else 1


def refined_axis(axis: np.ndarray, parts: int) -> np.ndarray:
    """Return the coordinates of an axis with evenly spread ones between its points."""
    place = np.arange((len(axis) - 1) * parts + 1) / parts
    return np.interp(place, np.arange(len(axis)), axis)


def refined(
    values: np.ndarray, alpha: np.ndarray, beta: np.ndarray, parts: tuple[int, int]
) -> np.ndarray:
    """Return values on the finer grid; NaN where no cell with four values lies.

    A value between points lies between the smallest and the largest of the 16 points around its
    cell; parabolas are reproduced where they do not leave that range.

    Args:
        values: On the figure's scale, NaN where there is none, shape (n, m).
        alpha: Coordinates of axis 0, shape (n,).
        beta: Coordinates of axis 1, shape (m,).
        parts: Of a cell along both axes (`num_parts`).
    """
    there = np.isfinite(values)
    values, known = np.where(there, values, np.nan), np.where(there, values, 0.0)
    x, y = _steady(alpha), _steady(beta)
    flat = _extreme(values)
    along_x, along_y = (np.where(flat, 0, slopes(values, *way)) for way in ((x, 0), (y, 1)))
    twisted = slopes(np.where(there, along_x, np.nan), y, 1)
    rows = _hermite(known, along_x, x, parts[0], 0)
    row_slopes = _hermite(along_y, twisted, x, parts[0], 0)
    fine = _hermite(rows, row_slopes, y, parts[1], 1)
    lowest = interpolated(_around(values, np.fmin, np.inf), parts)
    highest = interpolated(_around(values, np.fmax, -np.inf), parts)
    return np.where(covered(there, parts), np.clip(fine, lowest, highest), np.nan)


def interpolated(values: np.ndarray, parts: tuple[int, int]) -> np.ndarray:
    """Return values on the finer grid, linear along both axes; NaN spreads between the points."""
    for axis, part in enumerate(parts):
        low, high, share = _places(values.shape[axis], part)
        share = share.reshape((-1, 1) if axis == 0 else (1, -1))
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values


def covered(there: np.ndarray, parts: tuple[int, int]) -> np.ndarray:
    """Return which points of the finer grid lie in, or on the border of, a complete cell."""
    cells = complete_cells(np.where(there, 0.0, np.nan))
    cells = cells.repeat(parts[0], 0).repeat(parts[1], 1)
    return at_cells(cells)


def slopes(values: np.ndarray, place: np.ndarray, axis: int) -> np.ndarray:
    """Return slopes along an axis, exact for parabolas; 0 at missing and at lonely points.

    Args:
        values: NaN where there is none, shape (n, m).
        place: Coordinates of the axis, ascending or descending.
        axis: 0 or 1.
    """
    rows = np.moveaxis(values, axis, 0)
    step = np.diff(place)[:, None]
    rise = np.diff(rows, axis=0) / step
    hole, one = np.full_like(rows[:1], np.nan), np.ones((1, 1))
    before, after = np.concatenate([hole, rise]), np.concatenate([rise, hole])
    width, next_width = np.concatenate([one, step]), np.concatenate([step, one])
    both = (next_width * before + width * after) / (width + next_width)
    # At an end, or beside a hole: the parabola through the next two.
    first = 2 * after - np.concatenate([both[1:], hole])
    last = 2 * before - np.concatenate([hole, both[:-1]])
    found = both
    for other in (first, last, after, before):
        found = np.where(np.isfinite(found), found, other)
    found = np.where(np.isfinite(found) & np.isfinite(rows), found, 0.0)
    return np.moveaxis(found, 0, axis)


def _steady(axis: np.ndarray) -> np.ndarray:
    """Return coordinates whose mean spacing is 1, so that no size of theirs matters."""
    return (axis - axis[0]) / ((axis[-1] - axis[0]) / max(len(axis) - 1, 1) or 1.0)


def _places(num: int, parts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the points before and after each finer one, equal at a point, and the way between."""
    place = np.arange((num - 1) * parts + 1) / parts
    low, high = np.floor(place).astype(int), np.ceil(place).astype(int)
    return low, high, place - low


def _hermite(
    values: np.ndarray, slope: np.ndarray, place: np.ndarray, parts: int, axis: int
) -> np.ndarray:
    """Return values along an axis by cubics through values and slopes."""
    low, high, t = _places(values.shape[axis], parts)
    width = place[high] - place[low]
    shape = (-1, 1) if axis == 0 else (1, -1)
    rest = 1 - t
    weights = [(1 + 2 * t) * rest**2, t**2 * (3 - 2 * t), width * t * rest**2, -width * t**2 * rest]
    at_low, at_high, up, down = (weight.reshape(shape) for weight in weights)
    result = values.take(low, axis) * at_low + values.take(high, axis) * at_high
    return np.asarray(result + slope.take(low, axis) * up + slope.take(high, axis) * down)


def _extreme(values: np.ndarray) -> np.ndarray:
    """Return which points have eight neighbours, all of them not higher, or not lower."""
    wide = np.pad(values, 1, constant_values=np.nan)
    n, m = values.shape
    steps = [(i, j) for i in (0, 1, 2) for j in (0, 1, 2) if (i, j) != (1, 1)]
    around = np.stack([wide[i : i + n, j : j + m] for i, j in steps])
    return np.asarray((around <= values).all(axis=0) | (around >= values).all(axis=0))


def _around(values: np.ndarray, choose: np.ufunc, empty: float) -> np.ndarray:
    """Return the smallest, or the largest, of each point and its eight neighbours."""
    filled = np.where(np.isfinite(values), values, empty)
    for axis in (0, 1):
        wide = np.pad(filled, [(1, 1) if k == axis else (0, 0) for k in (0, 1)], mode="edge")
        parts = [wide.take(np.arange(k, k + values.shape[axis]), axis) for k in (0, 1, 2)]
        filled = choose(choose(parts[0], parts[1]), parts[2])
    return np.where(np.isfinite(filled), filled, 0.0)
