import numpy as np
import pytest
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.proj3d import proj_transform

from losscape_mpi.figures.map.sight import eye_of, is_hidden

ALPHA, BETA = np.linspace(-1, 1, 81), np.linspace(-2, 2, 61)
HEIGHT, RIDGE = 1.0, -0.5  # of a wall along beta, at this alpha


@pytest.fixture
def wall():
    """A triangular ridge at alpha = -0.5, from 0 to 1 and back within 0.1 on each side."""
    profile = HEIGHT * np.clip(1 - np.abs(ALPHA - RIDGE) / 0.1, 0, None)
    return np.repeat(profile[:, None], len(BETA), axis=1)


def hidden(heights, points, eye, **more):
    return is_hidden(np.atleast_2d(points), ALPHA, BETA, heights, np.asarray(eye), **more).tolist()


def test_wall_hides_the_ground_up_to_the_line_over_its_top(wall):
    eye = np.array([-4.0, 0.0, 3.0])
    # The line from the eye over the top meets the ground at this alpha.
    shadow_end = RIDGE + (RIDGE - eye[0]) * HEIGHT / (eye[2] - HEIGHT)
    ground = np.array([[x, 0.0, 0.0] for x in np.linspace(-0.35, 1, 28)])
    want = ground[:, 0] < shadow_end
    assert shadow_end > 1
    assert hidden(wall, ground, eye, is_on=True) == want.tolist()
    high = np.array([-4.0, 0.0, 9.0])
    shadow_end = RIDGE + (RIDGE - high[0]) * HEIGHT / (high[2] - HEIGHT)
    clear = np.abs(ground[:, 0] - shadow_end) > 0.02  # there the line only grazes
    want = ground[:, 0] < shadow_end
    assert 0 < want.sum() < len(want)
    got = np.array(hidden(wall, ground, high, is_on=True))
    np.testing.assert_array_equal(got[clear], want[clear])


def test_what_stands_before_the_wall_or_is_seen_along_it_is_not_hidden(wall):
    assert hidden(wall, [-0.8, 0.3, 0.0], [-4, 0, 3], is_on=True) == [False]
    assert hidden(wall, [0.2, 0.0, 0.0], [0.2, -9.0, 2.0], is_on=True) == [False]
    assert hidden(wall, [0.2, 0.0, 0.0], [4.0, 0.0, 2.0], is_on=True) == [False]


def test_top_of_the_wall_is_seen_from_all_sides(wall):
    for eye in ([-4, 0, 3], [4, 0, 3], [0, -6, 3], [0, 0, 8]):
        assert hidden(wall, [RIDGE, 0.0, HEIGHT], eye, is_on=True) == [False]


def test_hole_in_the_wall_hides_nothing(wall):
    wall[(np.abs(ALPHA - RIDGE) < 0.12)] = np.nan
    assert hidden(wall, [0.0, 0.0, 0.0], [-4, 0, 3], is_on=True) == [False]


def test_bottom_of_a_funnel_does_not_show_through_its_outside():
    depth = np.hypot(ALPHA[:, None], BETA[None] / 2)
    funnel = 10 * np.minimum(depth, 0.3)
    assert hidden(funnel, [0.0, 0.0, 0.0], [0, -9, 4], is_on=True) == [True]
    assert hidden(funnel, [0.0, 0.0, 0.0], [0, -0.5, 40], is_on=True) == [False]
    assert hidden(funnel, [0.0, 0.0, 0.0], [0, -9, -4], is_on=True) == [False]


def test_pin_before_an_edge_is_seen_below_the_sheet_and_hidden_by_a_wall(wall):
    sheet = np.full_like(wall, 5.0)
    assert hidden(sheet, [0.9, 0.0, 0.0], [-4, 0, 3]) == [False]
    assert hidden(sheet, [0.9, 0.0, 0.0], [-4, 0, 30]) == [True]


def test_surface_without_a_value_hides_nothing(wall):
    assert hidden(np.full_like(wall, np.nan), [0.0, 0.0, 0.0], [-4, 0, 3]) == [False]


@pytest.mark.parametrize(("elevation", "azimuth"), [(34, -58), (10, 45), (-20, 100), (80, 0)])
def test_eye_is_where_all_lines_of_sight_meet(elevation, azimuth):
    axes = Figure().add_subplot(projection="3d")
    axes.set(xlim=(-1, 3), ylim=(10, 40), zlim=(0, 1e-3))
    axes.view_init(elevation, azimuth)
    eye = eye_of(axes.get_proj())
    for point in ([0, 20, 5e-4], [3, 11, 0]):
        line = np.array(point)[:, None] + (eye - point)[:, None] * [0, 0.2, 0.5]
        x, y, _ = proj_transform(*line, axes.get_proj())
        assert np.ptp(x) < 1e-9
        assert np.ptp(y) < 1e-9
