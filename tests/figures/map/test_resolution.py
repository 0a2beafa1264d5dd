import numpy as np
import pytest

from losscape_mpi.figures.field import make_field
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.panel import map_figure
from losscape_mpi.figures.map.resolution import finer, unresolved
from losscape_mpi.figures.scale import Scale

ALPHA, BETA = np.linspace(0, 10, 11), np.linspace(0, 4, 5)


@pytest.fixture
def ramp(surface_of):
    """A loss that equals alpha, 0 to 10, with standard errors."""

    def build(stderr):
        loss = np.repeat(ALPHA[:, None], 5, axis=1)
        more = {} if stderr is None else {"train/loss_stderr": stderr + 0 * loss}
        return surface_of(loss, ALPHA, BETA, more=more)

    return build


def share_along_alpha(surface, levels):
    field = make_field(surface, "train/loss")
    mask = unresolved(field, Scale("linear", 0, 10, chosen=levels))
    return finer(field.alpha), mask.all(axis=1), mask.any(axis=1)


def test_band_between_lines_closer_than_two_errors_is_unresolved_and_no_other(ramp):
    levels = (1.0, 2.0, 6.0, 9.0)  # gaps of 1, 4 and 3; 2 SE are 3.2
    alpha, everywhere, anywhere = share_along_alpha(ramp(1.6), levels)
    want = ((alpha >= 1) & (alpha < 2)) | ((alpha >= 6) & (alpha < 9))
    inside = ~np.isin(alpha, levels)  # on a line itself rounding decides
    np.testing.assert_array_equal(everywhere[inside], want[inside])
    np.testing.assert_array_equal(anywhere[inside], want[inside])


def test_error_decides_point_by_point(ramp):
    stderr = np.where(ALPHA < 5, 0.1, 10.0)[:, None]
    alpha, everywhere, _ = share_along_alpha(ramp(stderr), tuple(map(float, range(11))))
    assert not everywhere[alpha <= 4].any()
    assert everywhere[(alpha >= 5) & (alpha < 10)].all()


@pytest.mark.parametrize("stderr", [None, 0.0])
def test_surface_without_standard_errors_is_resolved(ramp, words, stderr):
    surface = ramp(stderr)
    assert not share_along_alpha(surface, (1.0, 1.01))[2].any()
    assert "2 SE" not in words(map_figure([surface], "filled", "train/loss", Look()))


def test_infinite_point_with_an_infinite_error_marks_nothing(ramp):
    surface = ramp(0.1)
    surface.values["train/loss"][3, 2] = surface.values["train/loss_stderr"][3, 2] = np.inf
    surface.status[3, 2] = 2
    assert not share_along_alpha(surface, (1.0, 5.0))[2].any()


@pytest.mark.parametrize("kind", ["contour", "filled"])
def test_unresolved_band_is_grey_and_named(ramp, pixel_at, words, kind):
    figure = map_figure([ramp(1.6)], kind, "train/loss", Look(levels=(1.0, 2.0, 6.0)))
    grey, clear = pixel_at(figure, 1.5, 2.2), pixel_at(figure, 4.0, 2.2)
    assert np.ptp(grey) < np.ptp(clear) or kind == "contour"
    if kind == "contour":
        assert clear.tolist() == [255, 255, 255]
        assert max(grey) < 225
    text = words(figure)
    assert "lines closer than 2 SE (10 % of the area)" in text
    assert "not resolved" in text


@pytest.mark.parametrize("kind", ["heatmap", "surface"])
def test_maps_without_lines_have_no_veil(ramp, words, kind):
    assert "2 SE (" not in words(map_figure([ramp(9.0)], kind, "train/loss", Look()))


def test_finer_axis_keeps_the_points():
    axis = np.array([-1.0, 0.0, 3.0])
    assert set(axis) <= set(finer(axis))
    assert (np.diff(finer(axis)) > 0).all()
