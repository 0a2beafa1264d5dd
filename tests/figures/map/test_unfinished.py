import numpy as np
import pytest

from losscape_mpi.figures.field import make_field
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.panel import map_figure
from losscape_mpi.figures.map.unfinished import with_guesses
from losscape_mpi.figures.marks import guessed
from losscape_mpi.figures.scale import Scale
from losscape_mpi.study.grid import Grid

ALPHA, BETA = np.linspace(-1, 1, 17), np.linspace(-3, 3, 13)
LINEAR = Scale("linear", -10, 10)


@pytest.fixture
def running(surface_of):
    """Builds a loss of which the first points of a run are computed."""

    def build(num, loss=None, failed=()):
        plane = 4 + ALPHA[:, None] - 0.5 * BETA[None]
        status = np.zeros(plane.size)
        status[Grid(ALPHA, BETA).coarse_to_fine()[:num]] = 1
        status = status.reshape(plane.shape)
        for index in failed:
            status[index] = 3
        return surface_of(plane if loss is None else loss, ALPHA, BETA, status=status)

    return build


def guesses_of(surface, scale=LINEAR):
    field = make_field(surface, "train/loss")
    return field, with_guesses(field, scale)


@pytest.mark.parametrize("num", [9, 40, 150, 200])
def test_guesses_of_a_plane_are_the_plane(running, num):
    surface = running(num)
    field, known = guesses_of(surface)
    assert guessed(known).sum() == field.missing["not computed"].sum() == 221 - num
    np.testing.assert_allclose(known.values, surface.values["train/loss"], rtol=1e-12)


def test_known_points_keep_their_values(running):
    loss = np.random.default_rng(0).normal(size=(17, 13))
    field, known = guesses_of(running(60, loss))
    there = np.isfinite(field.values)
    np.testing.assert_array_equal(known.values[there], loss[there])


def test_logarithms_are_interpolated_on_a_logarithmic_scale(running):
    loss = 10.0 ** (ALPHA[:, None] + BETA[None])
    _, known = guesses_of(running(30, loss), Scale("log", 1e-4, 1e4))
    np.testing.assert_allclose(known.values, loss, rtol=1e-9)


def test_failed_points_and_what_lies_outside_stay_missing(running):
    surface = running(60, failed=[(5, 5)])
    surface.status[-1] = 0
    surface.status[-2] = 0
    _, known = guesses_of(surface)
    assert np.isnan(known.values[5, 5])
    assert np.isnan(known.values[-1]).all()


@pytest.mark.parametrize("num", [0, 8, 221])
def test_too_few_points_and_all_of_them_are_left_as_they_are(running, num):
    surface = running(max(num, 1))
    field, known = guesses_of(surface)
    assert known is field


def test_points_on_one_line_give_no_guess(running):
    surface = running(221)
    surface.status[:, 1:] = 0
    field, known = guesses_of(surface)
    assert known is field


def test_filled_map_covers_what_the_exact_cells_leave_open(running, pixels, colorful, words):
    covered = {}
    for kind in ("filled", "heatmap"):
        figure = map_figure([running(40)], kind, "train/loss", Look("linear"))
        picture, box = pixels(figure), figure.axes[0].get_window_extent()
        inside = picture[int(box.y0) + 2 : int(box.y1) - 2, int(box.x0) + 2 : int(box.x1) - 2]
        covered[kind] = np.ptp(inside, axis=-1).astype(float) > 20  # colour under a veil too
        assert "not computed (181)" in words(figure)
        assert ("interpolated from the known points" in words(figure)) == (kind == "filled")
    assert covered["heatmap"].mean() == pytest.approx(40 / 221, abs=0.04)
    assert covered["filled"].mean() > 0.6


def test_guesses_are_paler_than_known_areas(running, pixel_at):
    surface = running(221)
    surface.status[9:16:2] = 0
    surface.status[9:16, ::2] = 0
    figure = map_figure([surface], "filled", "train/loss", Look("linear"))
    whole = map_figure([running(221)], "filled", "train/loss", Look("linear"))
    for x, share in ((-0.7, 1.0), (0.4, 0.5), (0.65, 0.5)):
        want = share * np.ptp(pixel_at(whole, x, 0.1))
        assert np.ptp(pixel_at(figure, x, 0.1)) == pytest.approx(want, rel=0.25)
