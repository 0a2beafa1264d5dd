"""Pictures of decision regions: which colour lies where."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from losscape_mpi.errors import UserError
from losscape_mpi.figures.path.regions import (
    CLASS_COLORS,
    CLASS_MARKERS,
    UNKNOWN,
    draw_regions,
    draw_samples,
    region_image,
)


def certain(best, num=3):
    return np.eye(num)[np.asarray(best)]


def test_a_cell_has_the_colour_of_its_class():
    for k, name in enumerate(CLASS_COLORS):
        (pixel,) = region_image(certain([[k]], len(CLASS_COLORS))).reshape(-1, 3)
        expected = 1 - 0.62 * (1 - np.array(to_rgb(name)))
        np.testing.assert_allclose(pixel / 255, expected, atol=0.003)


def test_axis_0_is_x_and_rows_run_along_y_from_below():
    best = np.zeros((5, 3), int)
    best[4, 0] = 1  # far right, at the bottom
    image = region_image(certain(best))
    assert image.shape == (3, 5, 3)
    same = (image == image[0, 4]).all(axis=2)
    assert same.sum() == 1


def test_the_nearer_to_a_guess_the_paler():
    shares = np.array([1 / 3 + 1e-6, 0.5, 0.7, 0.999])
    probabilities = np.stack([shares, *[(1 - shares) / 2] * 2], axis=-1)[:, None]
    brightness = region_image(probabilities).astype(int).sum(axis=2)[0]
    assert (np.diff(brightness) < 0).all()
    assert brightness[0] > 3 * 220


def test_a_border_is_dark_and_only_there():
    best = np.zeros((6, 4), int)
    best[3:] = 1  # the border is x between cells 2 and 3
    dark = region_image(certain(best)).max(axis=2) < 80
    np.testing.assert_array_equal(dark, np.tile([False, False, True, False, False, False], (4, 1)))


def test_no_answer_is_grey_and_no_class():
    probabilities = certain(np.zeros((3, 3), int))
    probabilities[0, 2] = np.nan
    image = region_image(probabilities)
    assert (image[2, 0] == UNKNOWN).all()
    assert not (image[0, 2] == UNKNOWN).all()


def test_more_classes_than_colours_are_refused():
    with pytest.raises(UserError, match="found 8 classes, expected at most 7"):
        region_image(certain([[0]], 8))


def test_cells_lie_around_their_coordinates():
    axes = Figure().add_subplot()
    image = draw_regions(axes, np.array([0.5, 1.5, 2.5]), np.array([-1.0, 1.0]))
    assert image.get_extent() == [0, 3, -2, 2]


def test_each_class_has_a_colour_and_a_marker_of_its_own():
    axes = Figure().add_subplot()
    points = np.arange(12.0).reshape(6, 2)
    draw_samples(axes, points, np.array([0, 1, 2, 0, 1, 1]), 3)
    assert [line.get_marker() for line in axes.lines] == list(CLASS_MARKERS[:3])
    assert [len(line.get_xdata()) for line in axes.lines] == [2, 3, 1]
    assert len(set(CLASS_COLORS)) == len(set(CLASS_MARKERS)) == len(CLASS_COLORS)
