import numpy as np
import pytest

from losscape_mpi.figures.line.profile import profile_figure, profile_scales
from losscape_mpi.figures.look import Look

ALPHA = np.linspace(-1, 1, 21)


@pytest.fixture
def line(surface_of):
    loss = (0.5 + ALPHA**2)[:, None]
    more = {
        "train/loss_stderr": 0.1 * loss,
        "train/accuracy": 1 / (1 + loss),
        "test/loss": 2 * loss,
        "test/accuracy": 0.5 / (1 + loss),
    }
    return surface_of(loss, ALPHA, [0.0], more=more, is_line=True)


def test_loss_is_on_the_left_axis_and_accuracy_on_the_right(line):
    figure = profile_figure(line, ["loss", "accuracy"], ["train", "test"], Look())
    left, right = figure.axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("loss", "accuracy")
    for axes, metric in ((left, "loss"), (right, "accuracy")):
        for curve, split in zip(axes.lines, ("train", "test"), strict=False):
            assert curve.get_ydata().tolist() == line.values[f"{split}/{metric}"][:, 0].tolist()
            assert curve.get_xdata().tolist() == ALPHA.tolist()


def test_curves_differ_without_colour(line):
    figure = profile_figure(line, ["loss", "accuracy"], ["train", "test"], Look())
    curves = [curve for axes in figure.axes for curve in axes.lines[:2]]
    looks = {(c.get_linestyle(), c.get_marker(), c.get_fillstyle()) for c in curves}
    assert len(looks) == 4
    assert [c.get_linestyle() for c in curves] == ["-", "--", "-", "--"]


def test_band_is_two_standard_errors_wide(line):
    left = profile_figure(line, ["loss"], ["train"], Look()).axes[0]
    corners = left.collections[0].get_paths()[0].vertices
    at_center = corners[np.isclose(corners[:, 0], 0), 1]
    assert (at_center.min(), at_center.max()) == pytest.approx((0.5 - 0.1, 0.5 + 0.1))


def test_minimum_is_drawn_at_its_alpha(line, pixels):
    figure = profile_figure(line, ["loss"], ["train"], Look())
    picture, axes = pixels(figure), figure.axes[0]
    is_blue = np.abs(picture - np.array([0, 114, 178])).max(axis=-1) < 10
    box = axes.get_window_extent()
    is_blue[: int(box.y0) + 2] = False  # labels and legend
    is_blue[:, : int(box.x0) + 2] = False
    rows, columns = np.nonzero(is_blue)
    x, _ = axes.transData.inverted().transform((columns[rows == rows.min()].mean(), 0))
    assert x == pytest.approx(0, abs=0.05)


def test_values_over_decades_get_a_labelled_log_axis(surface_of):
    surface = surface_of(10 ** (6 * ALPHA**2)[:, None], ALPHA, [0.0], is_line=True)
    left = profile_figure(surface, ["loss"], ["train"], Look()).axes[0]
    assert left.get_yscale() == "log"
    assert left.get_ylabel() == "training loss (log scale)"


def test_clip_is_on_the_label_and_ends_the_axis(line):
    left = profile_figure(line, ["loss"], ["train"], Look(clip=1.0)).axes[0]
    assert left.get_ylim()[1] == 1.0
    assert left.get_ylabel() == "training loss (clipped at 1)"


def test_curve_stops_at_missing_points_which_are_named(surface_of, words):
    loss = (0.5 + ALPHA**2)[:, None]
    loss[2] = np.inf
    status = np.ones_like(loss)
    status[2], status[10:13], status[15] = 2, 0, 3
    surface = surface_of(loss, ALPHA, [0.0], status=status, is_line=True)
    figure = profile_figure(surface, ["loss"], ["train"], Look())
    drawn = figure.axes[0].lines[0].get_ydata()
    assert np.flatnonzero(np.isnan(drawn)).tolist() == [2, 10, 11, 12, 15]
    text = words(figure)
    for part in ("not computed (3)", "failed (1)", "not finite (1)", "center not computed"):
        assert part in text


def test_point_between_two_missing_ones_has_a_marker(surface_of):
    status = np.zeros((41, 1))
    status[[0, 7, 20]] = 1
    surface = surface_of(np.ones((41, 1)), np.linspace(-1, 1, 41), [0.0], status, is_line=True)
    curve = profile_figure(surface, ["loss"], ["train"], Look()).axes[0].lines[0]
    assert {0, 7, 20} <= set(curve.get_markevery())


def test_one_by_many_grid_runs_along_beta(surface_of):
    surface = surface_of((1 + ALPHA**2)[None, :], [0.0], ALPHA)
    axes = profile_figure(surface, ["loss"], ["train"], Look()).axes[0]
    assert axes.get_xlabel().startswith("β")
    assert axes.lines[0].get_xdata().tolist() == ALPHA.tolist()


def test_single_point_is_drawn(surface_of, pixels, colorful):
    figure = profile_figure(surface_of([[2.0]], [0.0], [0.0]), ["loss"], ["train"], Look())
    assert colorful(pixels(figure)).sum() > 20


def test_profiles_side_by_side_have_the_same_limits_and_their_names(line, surface_of):
    other = surface_of(5 * line.values["train/loss"], ALPHA, [0.0], is_line=True)
    other.provenance["name"] = "another"
    other.manifest["study"]["problem"]["model"] = "vgg9"
    figure = profile_figure([line, other], ["loss"], ["train"], Look("linear"))
    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim()
    assert left.get_ylim()[1] > 7.5
    assert [axes.get_title() for axes in (left, right)] == [
        "resnet56 · test error 66.7 %",
        "vgg9",
    ]


def test_separate_profiles_share_the_scales_they_are_given(line, surface_of):
    other = surface_of(5 * line.values["train/loss"], ALPHA, [0.0], is_line=True)
    scales = profile_scales([line, other], ["loss"], ["train"], Look("linear"))
    limits = [
        profile_figure(surface, ["loss"], ["train"], Look(), scales).axes[0].get_ylim()
        for surface in (line, other)
    ]
    assert limits[0] == limits[1]


def test_asked_limits_are_the_ends_of_the_left_axis(line):
    figure = profile_figure(line, ["loss", "accuracy"], ["train"], Look("log", limits=(0.1, 1.0)))
    assert figure.axes[0].get_ylim()[1] == 1.0
    assert "clipped at 1" in figure.axes[0].get_ylabel()
    assert "clipped" not in figure.axes[1].get_ylabel()


def test_seconds_of_a_profile_are_one_curve(line):
    line.seconds[...] = np.arange(21.0)[:, None]
    axes = profile_figure(line, ["seconds"], ["train", "test"], Look()).axes[0]
    assert axes.lines[0].get_ydata().tolist() == list(range(21))
    assert axes.get_ylabel() == "seconds per point"
