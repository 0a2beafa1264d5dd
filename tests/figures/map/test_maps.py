import matplotlib
import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.panel import map_figure
from losscape_mpi.figures.map.relief import Relief

MAPS = ["contour", "filled", "heatmap", "surface"]
YELLOW = np.array([253, 231, 37])  # the top of viridis
ALPHA, BETA = [10, 20, 40], [-3, -1, 0.5, 2, 3]


def draw(surface, kind, **look):
    return map_figure([surface], kind, "train/loss", Look(**look))


@pytest.mark.parametrize(
    ("kind", "scale"),
    [("contour", "log"), ("filled", "linear"), ("surface", "linear"), ("surface", "log")],
)
def test_map_is_not_blank(bowl, pixels, colorful, kind, scale):
    figure = draw(bowl(), kind, scale=scale)
    picture = pixels(figure)
    box = figure.axes[0].get_window_extent()
    inside = picture[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
    share = colorful(inside).mean()
    assert share > {"contour": 0.01, "filled": 0.8, "surface": 0.15}[kind]


@pytest.mark.parametrize("spread", ["contours", "cells"])
def test_spike_lies_at_its_alpha_and_beta(surface_of, pixels, spread):
    loss = np.zeros((3, 5))
    loss[1, 3] = 7.0
    status = np.ones((3, 5))
    if spread == "cells":
        status[[0, 2], :] = 0
    figure = draw(surface_of(loss, ALPHA, BETA, status=status), "filled", scale="linear")
    close = np.abs(pixels(figure) - YELLOW).max(axis=-1) < 12
    close[:, int(figure.axes[0].get_window_extent().x1) :] = False  # the colour bar
    row, column = np.argwhere(close).mean(axis=0)
    x, y = figure.axes[0].transData.inverted().transform((column, row))
    assert x == pytest.approx(20, abs=3)
    assert y == pytest.approx(2, abs=0.3)


def test_spike_stands_at_its_alpha_and_beta_in_3d(surface_of):
    loss = np.zeros((3, 5))
    loss[1, 3] = 7.0
    figure = draw(surface_of(loss, ALPHA, BETA), "surface", scale="linear")
    (relief,) = (part for part in figure.axes[0].get_children() if isinstance(part, Relief))
    i, j = np.unravel_index(relief.heights.argmax(), relief.heights.shape)
    assert (relief.alpha[i], relief.beta[j], relief.heights.max()) == pytest.approx((20, 2, 7))


def test_infinite_point_has_its_own_colour_and_its_count(bowl, pixel_at, words):
    surface = bowl()
    surface.values["train/loss"][6, 2] = np.inf
    surface.status[6, 2] = 2
    figure = draw(surface, "filled")
    red, green, blue = pixel_at(figure, 0.5, -0.5)
    at_neighbor = pixel_at(figure, 0.5 - 0.16, -0.5)
    assert red > green < blue or red == green == blue < 120  # pink, or one of its black dots
    assert at_neighbor.tolist() == [237, 237, 237]  # no contour towards a missing point
    assert "not finite (1)" in words(figure)


@pytest.mark.parametrize("kind", MAPS)
def test_missing_points_are_named_with_their_number(bowl, words, kind):
    status = np.ones((9, 9))
    status[7:, :], status[1, 1] = 0, 3
    text = words(draw(bowl(status=status), kind))
    assert "not computed (18)" in text
    assert "failed (1)" in text
    assert "62 of 81 points" in text


def test_half_filled_grid_shows_its_holes(bowl, pixels, colorful):
    status = np.zeros((9, 9))
    status[::2, ::2] = 1
    figure = draw(bowl(status=status), "heatmap")
    picture, box = pixels(figure), figure.axes[0].get_window_extent()
    inside = colorful(picture[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)])
    assert inside.mean() == pytest.approx(25 / 81, abs=0.03)


def test_clipping_is_written_on_the_colour_bar(bowl):
    surface = bowl()
    surface.values["train/loss"][0, 0] = 1e6
    label = draw(surface, "filled", scale="linear").axes[1].get_ylabel()
    assert label.startswith("training loss (clipped at ")
    assert draw(surface, "filled", clip=2.0).axes[1].get_ylabel().endswith("clipped at 2)")


def test_log_scale_is_written_on_the_colour_bar(bowl):
    assert draw(bowl(), "contour", scale="log").axes[1].get_ylabel() == "training loss (log scale)"


def test_values_above_the_clip_have_the_top_colour(bowl, pixel_at):
    figure = draw(bowl(), "filled", scale="linear", clip=1.0)
    assert np.abs(pixel_at(figure, 0.95, 0.9) - YELLOW).max() < 12


def test_higher_values_are_brighter(bowl, pixel_at):
    figure = draw(bowl(), "filled", scale="linear")
    brightness = [pixel_at(figure, 0.0, y).sum() for y in (0.15, 0.4, 0.68, 0.95)]
    assert brightness == sorted(brightness)


def test_axes_are_equal_only_where_their_ranges_are(bowl, surface_of):
    assert draw(bowl(5, 7), "filled").axes[0].get_aspect() == 1
    wide = surface_of(np.arange(15.0).reshape(3, 5), ALPHA, BETA)
    assert draw(wide, "filled").axes[0].get_aspect() == "auto"


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        ("filled", np.full((4, 5), 2.3)),
        ("surface", np.zeros((4, 5))),
        ("filled", np.full((3, 3), np.inf)),
        ("surface", np.full((3, 3), np.inf)),
        ("surface", [[1.0, 2.0], [3.0, 4.0]]),
        ("contour", -np.arange(15.0).reshape(3, 5)),
        ("contour", 10.0 ** np.arange(-8, 7).reshape(3, 5)),
    ],
    ids=["equal", "zero", "infinite", "infinite-3d", "2x2", "negative", "decades"],
)
def test_unusual_values_are_drawn(surface_of, pixels, kind, loss):
    picture = pixels(draw(surface_of(loss), kind, scale="log"))
    assert (picture.sum(axis=-1) < 700).mean() > 0.02


def test_panel_has_one_colour_scale_for_all(bowl, pixel_at):
    high = bowl(problem={"model": "vgg9", "data": {"name": "cifar10"}})
    high.values["train/loss"][...] *= 3
    figure = map_figure([bowl(), high], "filled", "train/loss", Look("linear"))
    assert len(figure.axes) == 3
    bar = figure.axes[2]
    assert bar.get_ylim() == pytest.approx((0.1, 9.3))
    assert [axes.get_title() for axes in figure.axes[:2]] == ["resnet56", "vgg9"]
    assert np.abs(pixel_at(figure, 0.99, 0.99) - YELLOW).max() > 50


@pytest.mark.parametrize("kind", ["filled", "surface"])
def test_titles_of_a_panel_do_not_overlap(bowl, kind):
    holes = np.ones((9, 9))
    holes[7:] = 0
    figure = map_figure([bowl(), bowl(status=holes)], kind, "train/loss", Look())
    figure.canvas.draw()
    below = max(axes.title.get_window_extent().y1 for axes in figure.axes[:2])
    assert below <= figure._suptitle.get_window_extent().y0


def test_panel_of_different_batchnorm_policies_is_refused(bowl):
    other = bowl(evaluation={"precision": "float32", "batchnorm": "recompute"})
    with pytest.raises(UserError, match="frozen, recompute"):
        map_figure([bowl(), other], "filled", "train/loss", Look())


def test_large_surface_is_thinned_in_3d_and_the_figure_says_so(bowl, words):
    assert "drawn" not in words(draw(bowl(201, 3), "surface"))
    # Every third row, the last one, and that of the smallest value beside the middle.
    assert "1350 of 1350 points · 152 × 3 drawn" in words(draw(bowl(450, 3), "surface"))


def test_heatmap_shows_every_value_as_it_is_in_the_colour_of_its_cell(surface_of, pixels):
    loss = np.array([[0.0, 1.0, 0.25], [0.5, 0.75, 1.0]])
    figure = draw(surface_of(loss, [0, 1], [0, 1, 2]), "heatmap", scale="linear")
    picture = pixels(figure)
    for i, j in np.ndindex(2, 3):
        want = np.array(matplotlib.colormaps["viridis"](loss[i, j])[:3]) * 255
        for x, y in ((0.2, 0.2), (-0.3, 0.3)):  # no gradient inside a cell
            column, row = figure.axes[0].transData.transform((i + x, j + y))
            assert picture[int(row), int(column)] == pytest.approx(want, abs=2)


def test_map_of_tries_has_whole_numbers_on_its_bar(bowl):
    surface = bowl()
    surface.attempts[...] = 1
    surface.attempts[0, 0] = 3
    bar = map_figure([surface], "map", "attempts", Look()).axes[1]
    assert [label.get_text() for label in bar.get_yticklabels()] == ["1", "2", "3"]
    assert bar.get_ylabel() == "tries"


def test_limits_end_the_bar_with_an_arrow_for_what_lies_beyond(bowl, pixel_at):
    figure = draw(bowl(), "filled", scale="linear", limits=(0.5, 2.0))
    assert figure.axes[1].get_ylim() == pytest.approx((0.5, 2.0))
    assert figure.axes[1].get_ylabel() == "training loss (clipped at 0.5 and 2)"
    darkest = np.array(matplotlib.colormaps["viridis"](0)[:3]) * 255
    assert pixel_at(figure, 0.12, 0.12) == pytest.approx(darkest, abs=12)


@pytest.mark.parametrize("kind", MAPS)
def test_negative_values_below_the_limits_of_a_log_scale_are_drawn(surface_of, pixels, kind):
    loss = np.linspace(-3, 20, 35).reshape(5, 7)
    picture = pixels(draw(surface_of(loss), kind, scale="log", limits=(0.1, 10.0)))
    assert (picture.sum(axis=-1) < 700).mean() > 0.02


def test_contour_lines_are_those_asked_for(bowl):
    figure = draw(bowl(), "contour", scale="linear", levels=(0.5, 1.5))
    assert figure.axes[0].collections[0].levels.tolist() == [0.5, 1.5]


def test_view_turns_the_camera(bowl):
    axes = draw(bowl(), "surface", view=(10.0, 45.0)).axes[0]
    assert (axes.elev, axes.azim) == (10, 45)


def test_own_title_goes_before_what_the_file_says(bowl):
    title = draw(bowl(), "filled", title="Mine")._suptitle.get_text().replace("\u00a0", " ")
    assert title.startswith("Mine · first look")


def test_dense_shades_are_pixels_inside_a_vector_file_and_lines_are_not(bowl):
    for size, is_dense in ((9, False), (120, True)):
        figure = draw(bowl(size, size), "filled")
        shades, lines = figure.axes[0].collections[:2]
        assert (bool(shades.get_rasterized()), bool(lines.get_rasterized())) == (is_dense, False)


def test_labels_of_contours_do_not_lie_on_each_other(bowl):
    figure = draw(bowl(41, 41), "contour", scale="log", levels=tuple(np.geomspace(0.1, 3, 30)))
    figure.canvas.draw()
    labels = [t for t in figure.axes[0].texts if t.get_visible()]
    places = np.array([label.get_position() for label in labels])
    apart = np.abs(places[:, None] - places[None]) + 9 * np.eye(len(places))[..., None]
    assert len(labels) > 3
    assert (apart > [0.09 * 2 - 1e-9, 0.045 * 2 - 1e-9]).any(axis=-1).all()


@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("num", [1, 2, pytest.param(6, marks=pytest.mark.slow)])
def test_labels_of_a_panel_stay_clear_of_the_small_print_and_inside_the_figure(bowl, kind, num):
    surfaces = [bowl() for _ in range(num)]
    for k, surface in enumerate(surfaces):
        surface.manifest["fingerprint"] = f"{k}" * 64
        surface.provenance["name"] = f"study number {k}"
    figure = map_figure(surfaces, kind, "train/loss", Look())
    figure.canvas.draw()
    print_box = figure._supxlabel.get_window_extent()
    assert print_box.x1 <= figure.bbox.x1
    for axes in figure.axes[:num]:
        for axis in (axes.xaxis, axes.yaxis):
            box = axis.label.get_window_extent()
            assert box.y0 >= print_box.y1 - 1
            assert box.x0 >= -1
