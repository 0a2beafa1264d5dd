"""Numbers of a 1-D interpolation between two networks: barrier, monotonicity.

alpha = 0 is the center and alpha = 1 the other network; the numbers are those between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.point.column import Column
from losscape_mpi.point.status import DONE, NONFINITE
from losscape_mpi.store.surface import Surface

STABLE_BARRIER = 0.02  # of the error: Frankle et al. 2020 (arXiv:1912.05671), section 2
ERRORS = 2.0  # standard errors that a bump must exceed to count


@dataclass(frozen=True)
class LineNumbers:
    """What a curve between two networks says; of a share, what the curve of 1 - share says.

    Attributes:
        column: What the values are.
        start: Value at alpha = 0.
        end: Value at alpha = 1.
        barrier: max_t [L(t) - (1 - t) L(0) - t L(1)] over the grid's points in [0, 1]; never
            below 0, which both ends have.
        barrier_at: The t of it.
        sup_barrier: max_t L(t) - (L(0) + L(1)) / 2, the variant of linear mode connectivity.
        bump: max [L(later) - L(earlier)]_+ on the way from the higher end to the lower one.
        bump_from: Where that rise begins.
        bump_to: Where it ends.
        bump_error: Upper bound of the paired standard error of the bump: the sum of the two
            points' own; 0 where all samples are used, None where the file has no standard errors.
        is_monotone: True without a bump, False with one above 2 bump_error, None in between: only
            the paired error of the samples, which the file does not hold, could tell.
        nonfinite: Points in [0, 1] that are not finite; above 0, the numbers they spoil are NaN.
    """

    column: Column
    start: float
    end: float
    barrier: float
    barrier_at: float
    sup_barrier: float
    bump: float
    bump_from: float
    bump_to: float
    bump_error: float | None
    is_monotone: bool | None
    nonfinite: int


def line_numbers(surface: Surface, column: str) -> LineNumbers:
    """Return the numbers of an interpolation.

    Args:
        surface: A complete profile whose grid holds alpha = 0 and alpha = 1.
        column: A value column such as "train/loss" or "test/accuracy".

    Raises:
        UserError: If the surface is no such profile, or lacks the column.
    """
    _check(surface, column)
    inside = (surface.alpha >= 0) & (surface.alpha <= 1)
    t, values = surface.alpha[inside], surface.values[column][inside, 0]
    about, errors = surface.columns[column], surface.error(column)
    if about.is_share:
        values = 1.0 - values
    nonfinite = int((~np.isfinite(values)).sum())
    start, end = float(values[0]), float(values[-1])
    barrier, barrier_at, sup = _barrier(t, values)
    bump = _bump(t, values, None if errors is None else errors[inside, 0])
    return LineNumbers(about, start, end, barrier, barrier_at, sup, *bump, nonfinite)


def line_text(numbers: LineNumbers) -> list[tuple[str, str]]:
    """Return the numbers as rows of a name and a text, for `status`."""
    column, is_error = numbers.column, numbers.column.quantity == "accuracy"
    quantity = f"1 - {column.quantity}" if column.is_share else column.quantity
    what = f"{column.split} {'error' if is_error else quantity}"
    above = f"{what} at most {numbers.sup_barrier:.4g} above the mean of the ends"
    if is_error and np.isfinite(numbers.sup_barrier):
        above += ": stable" if numbers.sup_barrier < STABLE_BARRIER else ": not stable"
    rows = [
        ("ends", f"{what} {numbers.start:.6g} at alpha 0, {numbers.end:.6g} at 1"),
        ("barrier", f"{what} {numbers.barrier:.4g} at alpha {numbers.barrier_at:.4g}"),
        ("", above),
        ("monotone", f"{what}: {_monotone_text(numbers)}"),
    ]
    if numbers.nonfinite:
        rows.append(("not finite", f"{numbers.nonfinite} points between the ends"))
    return rows


def _monotone_text(numbers: LineNumbers) -> str:
    if numbers.is_monotone:
        return "yes, no rise on the way down"
    if np.isnan(numbers.bump):
        return "unsure, points are not finite"
    text = f"rise {numbers.bump:.3g} from {numbers.bump_from:.4g} to {numbers.bump_to:.4g}"
    if numbers.is_monotone is False:
        return f"no, {text}"
    if numbers.bump_error is None:
        return f"unsure, {text}"
    return f"unsure, {text} ± {numbers.bump_error:.2g}"


def _barrier(t: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """Return how far values lie above the line between their ends, where, and above its mean."""
    start, end = float(values[0]), float(values[-1])
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        above = values - (1 - t) * start - t * end
        above[[0, -1]] -= above[[0, -1]]  # 0, and NaN where an end is not finite
        sup = float(np.max(values) - np.float64(0.5) * (start + end))
    top = int(np.argmax(above))  # a NaN where there is one
    return float(above[top]), float(t[top]), sup


def _bump(
    t: np.ndarray, values: np.ndarray, errors: np.ndarray | None
) -> tuple[float, float, float, float | None, bool | None]:
    """Return the greatest rise on the way down: size, beginning, end, error, and the verdict."""
    if np.isnan(values).any():
        return np.nan, np.nan, np.nan, None, None
    way = np.arange(len(t)) if values[0] >= values[-1] else np.arange(len(t))[::-1]
    lowest = np.minimum.accumulate(values[way])
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        rises = np.where(values[way] > lowest, values[way] - lowest, 0.0)
    after = int(np.argmax(rises))
    before = int(np.argmin(values[way][: after + 1]))
    first, last, bump = way[before], way[after], float(rises[after])
    place = float(t[first]), float(t[last])
    if bump == 0:
        return 0.0, *place, None if errors is None else 0.0, True
    error = None if errors is None else float(errors[first] + errors[last])
    is_sure = bump == np.inf or (error is not None and bump > ERRORS * error)
    return bump, *place, error, False if is_sure else None


def _check(surface: Surface, column: str) -> None:
    if surface.is_path:
        raise UserError(f"{surface.path} is a training path, expected a profile between networks")
    if not surface.is_line:
        raise UserError(
            f"{surface.path} is a plane, expected a profile between two networks (grid.beta: null)"
        )
    if column not in surface.values:
        raise UserError(
            f"{surface.path} has no column {column}, expected one of {', '.join(surface.values)}"
        )
    if missing := [end for end in (0.0, 1.0) if end not in surface.alpha]:
        raise UserError(
            f"{surface.path}: found no point at alpha {missing[0]:g}, expected both ends 0 and 1 "
            "among the points: take grid.alpha: [-0.5, 1.5, 81]"
        )
    inside = (surface.alpha >= 0) & (surface.alpha <= 1)
    if pending := int((~np.isin(surface.status[inside], (DONE, NONFINITE))).sum()):
        raise UserError(
            f"{surface.path}: {pending} points between the ends are missing, expected all: run the "
            "study again"
        )
