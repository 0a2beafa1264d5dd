"""Which points of a grid are anchors, and how the others are interpolated from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from losscape_mpi.study.evaluation_config import EvaluationConfig
from losscape_mpi.study.grid import Grid
from losscape_mpi.study.places import Places

STENCIL = 4  # anchors of a cubic along one axis


@dataclass(frozen=True, eq=False)
class AxisPlan:
    """The anchors of one axis and the weights that interpolate its other coordinates.

    Attributes:
        anchors: Indices of the anchors on the axis, ascending, shape (a,).
        first: First anchor of each coordinate's stencil, as a position in `anchors`, shape (num,).
        weights: Weights of the anchors from `first` on, shape (num, min(a, 4)).
    """

    anchors: np.ndarray
    first: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class AnchorPlan:
    """The anchors of a grid, a coarse subgrid of it, and the stencil of every point.

    Attributes:
        shape: (num_alpha, num_beta) of the grid.
        alpha: Plan of axis 0.
        beta: Plan of axis 1; one anchor for a 1-D profile.
        anchors: Flat indices of the anchors, ascending, int64 of shape (A,).
    """

    shape: tuple[int, int]
    alpha: AxisPlan
    beta: AxisPlan
    anchors: np.ndarray

    def stencil(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the anchors that a point is interpolated from, and their weights.

        The tensor product of two cubic Lagrange stencils: the weights add up to 1 and reproduce
        polynomials up to degree 3 in each coordinate.

        Args:
            index: Flat index of a grid point.

        Returns:
            Positions in `anchors`, ascending, int64 of shape (k,), k <= 16, and the weights,
            float64 of shape (k,), none of them 0. An anchor itself is its own stencil, weight 1.
        """
        i, j = divmod(int(index), self.shape[1])
        rows, row_weights = _axis_stencil(self.alpha, i)
        columns, column_weights = _axis_stencil(self.beta, j)
        positions = rows[:, None] * len(self.beta.anchors) + columns[None, :]
        return positions.ravel(), (row_weights[:, None] * column_weights[None, :]).ravel()


def anchor_plan(grid: Grid, stride: int | tuple[int, int]) -> AnchorPlan:
    """Return the anchors of a grid and the interpolation from them.

    Args:
        grid: The points of the study.
        stride: Widest distance of two neighbouring anchors, in grid steps, at least 1; one number
            for both axes or one for each.

    Raises:
        ValueError: If a stride is below 1.
    """
    strides = (stride, stride) if isinstance(stride, int) else stride
    alpha, beta = _plan_axis(grid.alpha, strides[0]), _plan_axis(grid.beta, strides[1])
    flat = alpha.anchors[:, None] * len(grid.beta) + beta.anchors[None, :]
    return AnchorPlan(grid.shape, alpha, beta, flat.ravel())


def anchors_of_study(evaluation: EvaluationConfig, places: Places) -> np.ndarray:
    """Return the flat indices of a study's anchors; none unless its estimator is anchors."""
    if evaluation.estimator != "anchors" or not isinstance(places, Grid):
        return np.zeros(0, dtype=np.int64)
    return anchor_plan(places, evaluation.anchors.stride).anchors


def anchor_indices(num: int, stride: int) -> np.ndarray:
    """Return the anchors of an axis of `num` points, ascending, int64 of shape (a,).

    Both ends are anchors, and the middle of an odd axis. No two neighbours are more than `stride`
    apart; where it does not divide the axis the gaps differ by one step.

    Raises:
        ValueError: If there is no point, or the stride is below 1.
    """
    if num < 1 or stride < 1:
        raise ValueError(f"found {num} points and stride {stride}, expected at least 1 of each")
    if num == 1:
        return np.zeros(1, dtype=np.int64)
    middle = (num - 1) // 2
    if num % 2 == 0:
        return _spread(num - 1, stride)
    left = _spread(middle, stride)
    # The right half mirrors the left one, so that no side is seen better than the other.
    return np.concatenate([left, num - 1 - left[-2::-1]])


def lagrange_weights(nodes: np.ndarray, x: float) -> np.ndarray:
    """Return the weights with which values at `nodes` give their interpolating polynomial at x.

    Args:
        nodes: Distinct coordinates, shape (k,).
        x: Where the polynomial is wanted; at a node its weight is 1 and the others are 0, exactly.

    Returns:
        float64 of shape (k,).
    """
    weights = np.ones(len(nodes), dtype=np.float64)
    for a, node in enumerate(nodes):
        for b, other in enumerate(nodes):
            if a != b:
                weights[a] *= (x - other) / (node - other)
    return weights


def _spread(last: int, stride: int) -> np.ndarray:
    """Return 0..last in the fewest nearly equal gaps of at most `stride`."""
    gaps = -(-last // stride)
    return np.array([(2 * k * last + gaps) // (2 * gaps) for k in range(gaps + 1)], dtype=np.int64)


def _plan_axis(coordinates: np.ndarray, stride: int) -> AxisPlan:
    anchors = anchor_indices(len(coordinates), stride)
    nodes, width = coordinates[anchors], min(len(anchors), STENCIL)
    # The gap that holds a coordinate, and from it two anchors to either side where there are two.
    gap = np.searchsorted(anchors, np.arange(len(coordinates)), side="right") - 1
    first = np.clip(gap - (width // 2 - 1), 0, len(anchors) - width)
    weights = [
        lagrange_weights(nodes[start : start + width], x)
        for start, x in zip(first, coordinates, strict=True)
    ]
    return AxisPlan(anchors, first.astype(np.int64), np.array(weights))


def _axis_stencil(plan: AxisPlan, index: int) -> tuple[np.ndarray, np.ndarray]:
    weights = plan.weights[index]
    # A weight of 0 is left out, so that NaN at an anchor stays out of points it has no part in.
    used = np.flatnonzero(weights)
    return plan.first[index] + used, weights[used]
