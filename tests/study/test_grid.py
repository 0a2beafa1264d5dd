import itertools

import numpy as np
import pytest

from losscape_mpi.study.config import GridConfig
from losscape_mpi.study.grid import Grid, axis

GRID_3x5 = Grid.from_config(GridConfig(alpha=(-1, 1, 3), beta=(0, 1, 5)))


def test_each_flat_index_is_the_point_of_its_own_row_and_column():
    values = np.array([a + 10 * b for a, b in map(GRID_3x5.point, range(GRID_3x5.size))])
    expected = np.array([[-1, 1.5, 4, 6.5, 9], [0, 2.5, 5, 7.5, 10], [1, 3.5, 6, 8.5, 11]])
    assert np.array_equal(values.reshape(GRID_3x5.shape), expected)


def test_a_profile_has_one_beta_of_zero():
    grid = Grid.from_config(GridConfig(alpha=(0, 1, 4), beta=None))
    assert grid.shape == (4, 1)
    assert [grid.point(i)[1] for i in range(grid.size)] == [0.0] * 4


@pytest.mark.parametrize("num", [2, 3, 10, 11, 40, 41, 50, 51, 255])
def test_both_ends_are_on_the_axis_and_it_is_symmetric(num):
    found = axis(-1, 1, num)
    assert (found[0], found[-1], len(found)) == (-1.0, 1.0, num)
    assert np.array_equal(found, -found[::-1])
    assert np.all(np.diff(found) > 0)
    assert (0.0 in found) == (num % 2 == 1)


@pytest.mark.parametrize(
    ("config", "decimals"),
    [
        ((-1.2, 1.2, 25), [f"{k / 10:.1f}" for k in range(-12, 13)]),
        ((0, 1, 5), ["0", "0.25", "0.5", "0.75", "1"]),
        ((-1, 0, 11), [f"{k / 10:.1f}" for k in range(-10, 1)]),
        ((0.1, 0.7, 7), [f"{k / 10:.1f}" for k in range(1, 8)]),
    ],
)
def test_coordinates_are_the_decimals_that_a_reader_would_write(config, decimals):
    assert axis(*config).tolist() == [float(text) for text in decimals]


def test_one_point_is_an_axis():
    assert axis(0.3, 0.3, 1).tolist() == [0.3]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (3, 5), (8, 1), (51, 25), (64, 64)])
def test_the_order_visits_every_point_once(shape):
    order = Grid(np.arange(shape[0]), np.arange(shape[1])).coarse_to_fine()
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(shape[0] * shape[1]))


def test_the_first_points_are_corners_edge_middles_and_center():
    order = Grid(np.arange(51), np.arange(25)).coarse_to_fine()
    expected = {i * 25 + j for i, j in itertools.product((0, 25, 50), (0, 12, 24))}
    assert set(order[:9].tolist()) == expected


def test_every_prefix_of_the_order_covers_the_grid_more_finely():
    grid = Grid(np.arange(33), np.arange(33))
    seen = np.zeros((33, 33), dtype=bool)
    largest_gap = {}
    for count, index in enumerate(grid.coarse_to_fine(), start=1):
        seen[divmod(int(index), 33)] = True
        if count in (9, 25, 81, 289, 1089):
            rows = np.flatnonzero(seen.any(axis=1))
            assert seen[np.ix_(rows, rows)].all()
            largest_gap[count] = int(np.diff(rows).max())
    assert largest_gap == {9: 16, 25: 8, 81: 4, 289: 2, 1089: 1}
