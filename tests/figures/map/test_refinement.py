import numpy as np
import pytest

from losscape_mpi.figures.map.refinement import num_parts, refined, refined_axis, slopes

ALPHA, BETA = np.array([-2.0, -1.0, 0.0, 0.5, 1.5, 3.0]), np.linspace(-1, 1, 5)  # not square


def refine(values, alpha=ALPHA, beta=BETA, parts=(4, 5)):
    return refined(values, alpha, beta, parts)


def fine_axes(alpha=ALPHA, beta=BETA, parts=(4, 5)):
    return refined_axis(alpha, parts[0])[:, None], refined_axis(beta, parts[1])[None]


@pytest.fixture
def rough():
    return np.random.default_rng(4).normal(size=(6, 5)) ** 3


def test_finer_values_pass_through_the_points_exactly(rough):
    np.testing.assert_array_equal(refine(rough)[::4, ::5], rough)


def test_axis_keeps_its_points_and_their_order():
    fine = refined_axis(ALPHA, 4)
    np.testing.assert_array_equal(fine[::4], ALPHA)
    assert (np.diff(fine) > 0).all()


def test_products_of_parabolas_are_reproduced_on_uneven_axes():
    def surface(x, y):
        return (20 + 7 * x - 0.5 * x**2) * (3 + 4 * y + y**2)  # rises along both axes: no limit

    want = surface(*fine_axes())
    np.testing.assert_allclose(refine(surface(ALPHA[:, None], BETA[None])), want, rtol=1e-12)


def test_cubic_error_falls_with_the_third_power_of_the_spacing():
    def error(num):
        axis = np.linspace(0.5, 1.5, num)
        values = (axis**3)[:, None] + 0 * axis
        x, _ = fine_axes(axis, axis, (8, 1))
        return np.abs(refine(values, axis, axis, (8, 1)) - x**3).max()

    # An end's parabola is the worst: one power less than between.
    assert error(9) / error(17) == pytest.approx(8, rel=0.2)
    assert error(17) < 1e-4


@pytest.mark.parametrize("seed", range(5))
def test_no_value_lies_beyond_the_sixteen_points_around_its_cell(seed):
    values = np.random.default_rng(seed).standard_cauchy((9, 7))
    fine = refined(values, np.arange(9.0), np.arange(7.0), (6, 6))
    for i, j in np.ndindex(8, 6):
        around = values[max(i - 1, 0) : i + 3, max(j - 1, 0) : j + 3]
        cell = fine[6 * i : 6 * i + 7, 6 * j : 6 * j + 7]
        rounding = 1e-12 * np.abs(around).max()
        assert cell.min() >= around.min() - rounding
        assert cell.max() <= around.max() + rounding


def test_spike_has_no_ditch_around_it_and_no_higher_top():
    values = np.zeros((7, 7))
    values[3, 3] = 5.0
    fine = refined(values, np.arange(7.0), np.arange(7.0), (10, 10))
    assert fine.min() == 0
    assert fine.max() == fine[30, 30] == 5


def test_cells_with_a_missing_corner_are_holes_and_no_others(rough):
    # Column 0 is the border: between rows 1 and 3 no complete cell lies at it.
    rough[2, 1] = np.nan
    fine = refine(rough)
    assert np.isnan(fine[5:12, 0:10]).all()
    inside = np.zeros(fine.shape, dtype=bool)
    inside[5:12, 0:10] = True
    assert np.isfinite(fine[~inside]).all()


def test_missing_point_takes_part_in_no_value(rough):
    rough[2, 1] = np.nan
    without = refine(rough)
    rough[2, 1] = np.inf
    np.testing.assert_array_equal(refine(rough), without)


def test_points_without_a_complete_cell_stay_holes():
    values = np.full((6, 5), np.nan)
    values[::2, ::2] = 1.0
    assert np.isnan(refine(values)).all()


def test_lines_of_a_round_bowl_are_round():
    axis = np.linspace(-1, 1, 11)
    values = np.hypot(axis[:, None], axis[None]) ** 2
    fine = refined(values, axis, axis, (20, 20))
    x, y = fine_axes(axis, axis, (20, 20))
    ring = np.abs(np.hypot(x, y) - 0.7) < 0.05
    assert np.abs(fine - (x**2 + y**2))[ring].max() < 1e-12
    # Straight lines between eleven points are off by this much there.
    assert 0.2**2 / 8 > 1e-3


def test_slopes_at_ends_and_lonely_points():
    values = np.array([[1.0], [4.0], [9.0], [np.nan], [2.0], [np.nan]])
    got = slopes(values, np.array([1.0, 2, 3, 4, 5, 6]), 0)[:, 0]
    np.testing.assert_allclose(got, [2, 4, 6, 0, 0, 0])  # of the square; 0 where nothing is known


def test_large_numbers_and_tiny_axes_do_not_overflow():
    values = np.array([[1e290, -1e290, 1e290]] * 3)
    with np.errstate(over="raise", invalid="raise"):
        fine = refined(values, np.array([0, 1e-9, 2e-9]), np.arange(3.0), (4, 4))
    assert np.isfinite(fine).all()


@pytest.mark.parametrize(("num", "parts"), [(1, 1), (3, 40), (51, 4), (121, 2), (401, 1)])
def test_number_of_parts_follows_from_the_number_of_points(num, parts):
    assert num_parts(num) == parts
