import re

import numpy as np
import pytest
from mpl_toolkits.mplot3d.proj3d import proj_transform

from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.panel import map_figure
from losscape_mpi.figures.map.relief import Relief
from losscape_mpi.figures.map.sight import SightedLine
from losscape_mpi.figures.map.surface3d import CENTER
from losscape_mpi.figures.save import save_figure
from losscape_mpi.study.grid import Grid

AXIS = np.linspace(-1, 1, 21)
FRONT = (34.0, -90.0)  # the camera looks along beta


def draw(surface, **look):
    return map_figure([surface], "surface", "train/loss", Look(**look))


def parts_of(figure, kind):
    return [part for part in figure.axes[0].get_children() if isinstance(part, kind)]


def pixel_of(figure, point):
    axes = figure.axes[0]
    x, y, _ = proj_transform(*point, axes.get_proj())
    return axes.transData.transform((x, y)).astype(int)


def center_is_shown(figure):
    figure.canvas.draw()
    marks = [line for line in parts_of(figure, SightedLine) if line.get_gid() == CENTER]
    return [bool(np.isfinite(mark.get_data_3d()[0]).all()) for mark in marks]


@pytest.fixture
def ridge(surface_of):
    """A plain of 0 with a ridge of 1 along alpha at beta = -0.5, before the center."""
    loss = np.repeat(np.where(np.isclose(AXIS, -0.5), 1.0, 0.0)[None], 21, axis=0)
    return surface_of(loss, AXIS, AXIS)


def test_relief_goes_through_every_point(surface_of):
    loss = np.random.default_rng(3).normal(size=(7, 5))
    (relief,) = parts_of(draw(surface_of(loss), scale="linear"), Relief)
    np.testing.assert_array_equal(relief.heights[::40, ::40], loss)


def test_descending_axis_is_drawn_the_right_way_round(surface_of):
    loss = np.arange(35.0).reshape(7, 5)
    there = surface_of(loss, np.arange(7.0), np.arange(5.0))
    back = surface_of(loss[::-1], np.arange(7.0)[::-1], np.arange(5.0))
    reliefs = [parts_of(draw(surface), Relief)[0] for surface in (there, back)]
    np.testing.assert_allclose(reliefs[0].heights, reliefs[1].heights, rtol=1e-12)


def test_near_ridge_covers_the_ground_behind_it(ridge, pixels):
    green = []
    for view in (FRONT, (34, 90)):
        figure = draw(ridge, scale="linear", view=view)
        column, row = pixel_of(figure, (0.4, 0.9, 0.0))
        green.append(pixels(figure)[row, column][1])
    # The ridge is as high as its shadow is long: its green top, and the ground's own violet.
    assert green[0] > 100 > 60 > green[1]


def test_center_is_marked_where_no_ridge_hides_it(ridge, words):
    for view, is_shown in ((FRONT, False), ((34, 90), True), ((85, -90), True), ((34, 0), True)):
        figure = draw(ridge, scale="linear", view=view)
        assert center_is_shown(figure) == [is_shown]
        assert ("A center behind the surface in this view has no +" in words(figure)) != is_shown


def test_center_appears_as_the_camera_turns(ridge):
    figure = draw(ridge, scale="linear", view=FRONT)
    assert center_is_shown(figure) == [False]
    figure.axes[0].view_init(34, 90)
    assert center_is_shown(figure) == [True]


@pytest.mark.parametrize("status", [0, 2, 3], ids=["pending", "not finite", "failed"])
def test_missing_points_leave_a_hole_in_the_relief(bowl, status, pixels, colorful):
    surface = bowl(9, 9)
    surface.status[3:6, 3:6] = status
    surface.values["train/loss"][3:6, 3:6] = np.nan
    figure = draw(surface, scale="linear", view=(90, -90))
    (relief,) = parts_of(figure, Relief)
    inside = (np.abs(relief.alpha) < 0.5)[:, None] & (np.abs(relief.beta) < 0.5)[None]
    np.testing.assert_array_equal(np.isnan(relief.heights), inside)
    picture = colorful(pixels(figure))
    column, row = pixel_of(figure, (0.3, 0.3, 0.1))
    assert status == 3 or not picture[row, column]  # what failed is hatched in colour
    column, row = pixel_of(figure, (0.75, 0.75, 1.7))
    assert picture[row, column]


@pytest.mark.parametrize("num", [9, 25, 200])
def test_known_points_of_a_running_file_stand_as_pins_or_in_the_relief(bowl, num, words):
    grid = Grid(np.linspace(-1, 1, 17), np.linspace(-1, 1, 33))
    status = np.zeros(17 * 33)
    status[grid.coarse_to_fine()[:num]] = 1
    surface = bowl(17, 33, status=status.reshape(17, 33))
    figure = draw(surface, blocks=True)
    heads = [line for line in parts_of(figure, SightedLine) if line.get_marker() == "o"]
    standing = {tuple(p) for line in heads for p in line._points[:, :2].round(6)}
    alpha, beta = np.nonzero(surface.status == 1)
    known = {*zip(grid.alpha[alpha].round(6), grid.beta[beta].round(6), strict=True)}
    assert standing <= known
    assert len(standing) == num or num == 200
    assert f"not computed ({17 * 33 - num})" in words(figure)
    assert "Single dots: known points" in words(figure)


@pytest.mark.parametrize("size", [None, (5.0, 4.8), (9.0, 5.0)])
def test_box_and_labels_fill_their_place_and_stay_inside(bowl, size):
    figure = draw(bowl(), size=size)
    figure.canvas.draw()
    axes, renderer = figure.axes[0], figure.canvas.get_renderer()
    place, (inner, outer) = axes.bbox, axes._box_and_labels(renderer)
    room = place.width - outer.width, place.height - outer.height
    assert min(room) == pytest.approx(0, abs=3)
    assert place.x0 - 3 <= outer.x0
    assert outer.x1 <= place.x1 + 3
    assert place.y0 - 3 <= outer.y0
    assert outer.y1 <= place.y1 + 3
    assert inner.width * inner.height > 0.3 * place.width * place.height


def test_turning_box_keeps_its_size_and_is_never_cut(bowl):
    figure = draw(bowl())
    axes, renderer = figure.axes[0], figure.canvas.get_renderer()
    axes.hold(renderer, [(34, azimuth) for azimuth in range(-58, 302, 30)])
    sizes = []
    for azimuth in range(-58, 302, 30):
        axes.view_init(34, azimuth)
        axes.apply_aspect()
        _, outer = axes._box_and_labels(renderer)
        assert outer.x0 >= axes.bbox.x0 - 3
        assert outer.x1 <= axes.bbox.x1 + 3
        assert outer.y0 >= axes.bbox.y0 - 3
        sizes.append(axes.viewLim.width)
    assert np.ptp(sizes) < 1e-12


def test_more_than_half_of_the_place_is_not_background(bowl, pixels, colorful):
    figure = draw(bowl(21, 21))
    picture, place = pixels(figure), figure.axes[0].bbox
    inside = picture[int(place.y0) : int(place.y1), int(place.x0) : int(place.x1)]
    assert (inside < 250).any(axis=-1).mean() > 0.5  # not white: box, labels and surface
    assert colorful(inside).mean() > 0.2


def test_colours_run_on_without_steps(bowl, pixels):
    figure = draw(bowl(9, 9), scale="linear", view=(90, -90))
    picture = pixels(figure)
    column, row = pixel_of(figure, (0.0, 0.1, 0.1))
    end = pixel_of(figure, (0.0, 0.9, 1.7))[1]
    steps = np.abs(np.diff(picture[row + 12 : end - 4, column], axis=0)).max(axis=1)
    assert steps.max() < 12  # nine flat facets would jump by 60


def test_floor_has_the_lines_of_the_scale_below_the_surface(bowl):
    axes = draw(bowl(), scale="linear", levels=(0.5, 1.5)).axes[0]
    assert axes.collections[0].levels.tolist() == [0.5, 1.5]
    assert axes.get_zlim()[0] < 0.1 - 0.1
    assert all(float(tick) >= 0.1 for tick in axes.get_zticks())


def test_samples_are_dotted_on_request_where_they_are_seen(ridge, words):
    dots = parts_of(draw(ridge, samples=True, view=FRONT), SightedLine)
    (dots,) = [line for line in dots if line.get_marker() == "o"]
    assert len(dots._points) == 21 * 21
    hidden = dots.hidden(dots.axes.get_proj())
    behind = np.isclose(dots._points[:, 1], -0.4)
    assert hidden[behind].all()
    assert not hidden[np.isclose(dots._points[:, 1], -0.5)].any()
    assert not any(line.get_marker() == "o" for line in parts_of(draw(ridge), SightedLine))


@pytest.mark.parametrize("kind", ["contour", "filled", "heatmap"])
def test_samples_are_dotted_on_flat_maps(bowl, kind):
    status = np.ones((9, 9))
    status[0] = 0
    figure = map_figure([bowl(status=status)], kind, "train/loss", Look(samples=True))
    dots = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 72]
    assert len(dots) == 1


def test_relief_is_a_picture_inside_a_vector_file(bowl, tmp_path):
    for ending in ("svg", "pdf"):
        save_figure(draw(bowl(51, 51)), tmp_path / f"a.{ending}", 100)
    text = (tmp_path / "a.svg").read_text()
    assert len(re.findall("<image", text)) == 2  # and the colour bar
    assert "training loss" in text
    assert max(path.stat().st_size for path in tmp_path.iterdir()) < 400_000


def test_note_says_that_values_between_points_are_interpolated(bowl, words):
    for kind in ("contour", "filled", "surface"):
        text = words(map_figure([bowl()], kind, "train/loss", Look()))
        assert "Between the points values are interpolated" in text
    assert "interpolated" not in words(map_figure([bowl()], "heatmap", "train/loss", Look()))
