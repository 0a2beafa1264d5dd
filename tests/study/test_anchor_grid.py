import numpy as np
import pytest

from losscape_mpi.study.anchor_grid import anchor_indices, anchor_plan, lagrange_weights
from losscape_mpi.study.grid import Grid, axis

GRID_21x13 = Grid(axis(-1, 1, 21), axis(0, 3, 13))
SKEW_9x11 = Grid(np.array([-2, -1.9, -1, -0.3, 0, 0.1, 0.8, 1.5, 4]), np.linspace(0, 1, 11) ** 2)


def interpolated(grid, plan, surface):
    """Return the interpolation of a surface, shape (num_alpha, num_beta), at every point."""
    at_anchors = surface.ravel()[plan.anchors]
    found = [weights @ at_anchors[k] for k, weights in map(plan.stencil, range(grid.size))]
    return np.reshape(found, grid.shape)


def polynomial(grid, degree):
    """Return a polynomial of this degree in alpha and in beta, mixed terms included."""
    a, b = np.meshgrid(grid.alpha, grid.beta, indexing="ij")
    return sum(
        (i - 2 * j + 0.5) * a**i * b**j for i in range(degree + 1) for j in range(degree + 1)
    )


@pytest.mark.parametrize("num", [2, 3, 4, 5, 10, 20, 21, 50, 51, 101])
@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 7, 200])
def test_anchors_hold_both_ends_and_the_middle_and_leave_no_wider_gap(num, stride):
    found = anchor_indices(num, stride)
    gaps = np.diff(found)
    assert (found[0], found[-1]) == (0, num - 1)
    assert 1 <= gaps.min() <= gaps.max() <= min(gaps.min() + 1, stride)
    if num % 2:
        assert (num - 1) // 2 in found
        assert np.array_equal(found, num - 1 - found[::-1])


@pytest.mark.parametrize(
    ("num", "stride", "expected"),
    [
        (21, 2, list(range(0, 21, 2))),
        (21, 5, [0, 5, 10, 15, 20]),
        (21, 4, [0, 3, 7, 10, 13, 17, 20]),
        (6, 5, [0, 5]),
        (1, 3, [0]),
    ],
)
def test_anchors_of_these_axes(num, stride, expected):
    assert anchor_indices(num, stride).tolist() == expected


@pytest.mark.parametrize(("num", "stride"), [(5, 0), (5, -1), (0, 1)])
def test_an_axis_without_points_or_stride_is_an_error(num, stride):
    with pytest.raises(ValueError, match="at least 1"):
        anchor_indices(num, stride)


def test_flat_indices_of_anchors_are_their_rows_and_columns():
    plan = anchor_plan(Grid(axis(0, 1, 5), axis(0, 1, 3)), (2, 1))
    assert plan.anchors.tolist() == [0, 1, 2, 6, 7, 8, 12, 13, 14]


def test_each_axis_has_its_own_stride():
    plan = anchor_plan(GRID_21x13, (5, 3))
    assert len(plan.anchors) == 5 * 5
    assert {int(k) // 13 for k in plan.anchors} == {0, 5, 10, 15, 20}
    assert {int(k) % 13 for k in plan.anchors} == {0, 3, 6, 9, 12}


@pytest.mark.parametrize("grid", [GRID_21x13, SKEW_9x11])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_weights_add_up_to_one_and_reproduce_cubics(grid, stride):
    plan = anchor_plan(grid, stride)
    sums = [plan.stencil(k)[1].sum() for k in range(grid.size)]
    assert np.allclose(sums, 1, rtol=0, atol=1e-12)
    surface = polynomial(grid, 3)
    assert np.allclose(interpolated(grid, plan, surface), surface, rtol=1e-10, atol=1e-10)


def test_a_quartic_is_reproduced_at_the_anchors_alone():
    plan = anchor_plan(GRID_21x13, 3)
    surface = polynomial(GRID_21x13, 4)
    error = np.abs(interpolated(GRID_21x13, plan, surface) - surface).ravel()
    between = np.setdiff1d(np.arange(GRID_21x13.size), plan.anchors)
    assert error[plan.anchors].max() == 0
    assert error[between].min() > 1e-4


def test_weights_are_those_of_the_vandermonde_system():
    nodes, x = np.array([-1.0, -0.2, 0.5, 2.0]), 0.3
    expected = np.linalg.solve(np.vander(nodes, increasing=True).T, x ** np.arange(4))
    assert np.allclose(lagrange_weights(nodes, x), expected, rtol=1e-12)


@pytest.mark.parametrize("grid", [GRID_21x13, SKEW_9x11])
def test_an_anchor_is_its_own_stencil(grid):
    plan = anchor_plan(grid, 3)
    for position, index in enumerate(plan.anchors):
        positions, weights = plan.stencil(index)
        assert (positions.tolist(), weights.tolist()) == ([position], [1.0])


def test_a_point_takes_two_anchors_to_either_side_where_there_are_two():
    plan = anchor_plan(GRID_21x13, (2, 3))  # 11 x 5 anchors
    positions, _weights = plan.stencil(9 * 13 + 4)
    assert sorted({int(k) // 5 for k in positions}) == [3, 4, 5, 6]  # rows 6, 8, 10, 12 around 9
    assert sorted({int(k) % 5 for k in positions}) == [0, 1, 2, 3]  # columns 0, 3, 6, 9 around 4
    positions, _weights = plan.stencil(1 * 13 + 11)
    assert sorted({int(k) // 5 for k in positions}) == [0, 1, 2, 3]
    assert sorted({int(k) % 5 for k in positions}) == [1, 2, 3, 4]


def test_a_point_in_the_row_of_anchors_takes_that_row_alone():
    plan = anchor_plan(GRID_21x13, (2, 3))
    positions, weights = plan.stencil(4 * 13 + 5)
    assert {int(k) // 5 for k in positions} == {2}
    assert len(weights) == 4
    assert np.all(weights != 0)


@pytest.mark.parametrize(("stride", "degree"), [(9, 1), (4, 2)])
def test_fewer_anchors_give_a_lower_degree(stride, degree):
    grid = Grid(axis(-1, 1, 10) if degree == 1 else axis(-1, 1, 9), axis(0, 1, 2))
    plan = anchor_plan(grid, stride)
    a = grid.alpha[:, None] * np.ones((1, 2))
    assert len(plan.alpha.anchors) == degree + 1
    assert np.allclose(interpolated(grid, plan, a**degree), a**degree, atol=1e-14)
    assert not np.allclose(interpolated(grid, plan, a ** (degree + 1)), a ** (degree + 1))


def test_a_profile_is_interpolated_along_alpha():
    grid = Grid(axis(-1, 1, 21), np.zeros(1))
    plan = anchor_plan(grid, 4)
    surface = grid.alpha[:, None] ** 3
    assert np.array_equal(plan.anchors, anchor_indices(21, 4))
    assert np.allclose(interpolated(grid, plan, surface), surface, atol=1e-14)
    assert max(len(plan.stencil(k)[0]) for k in range(21)) == 4
