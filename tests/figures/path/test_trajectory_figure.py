from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from losscape_mpi.errors import UserError
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.path.trajectory import RESIDUAL_COLORS, gap_of, trajectory_figure
from losscape_mpi.store.surface import Trajectory

ALPHA, BETA = np.array([0.9, 0.5, 0.2, 0.0]), np.array([-0.8, -0.1, 0.3, 0.0])
RESIDUAL = np.array([0.0, 0.5, 0.9, 0.25])


def path(shift=0.0, labels=("start", "1", "2", "end")):
    own = {"train/loss": np.array([3.0, 1.0, 0.5, 0.1])}
    plane = {"train/loss": np.array([2.0, 1.5, 0.5, 0.1])}
    return Trajectory([*labels], ALPHA + shift, BETA, RESIDUAL, own, plane, {})


@pytest.fixture
def surface(bowl):
    surface = bowl(9, 11)
    surface.trajectories["sgd"] = path()
    return surface


def test_path_lies_at_its_coordinates_in_the_order_of_training(surface):
    top = trajectory_figure(surface, "train/loss", Look()).axes[0]
    line = next(line for line in top.lines if len(line.get_xdata()) == 4)
    assert line.get_xdata().tolist() == ALPHA.tolist()
    assert line.get_ydata().tolist() == BETA.tolist()


def test_points_are_coloured_by_their_residual(surface):
    figure = trajectory_figure(surface, "train/loss", Look())
    figure.canvas.draw()
    for axes in figure.axes[:2]:
        points = next(c for c in axes.collections if len(c.get_offsets()) == 4)
        want = [to_rgb(RESIDUAL_COLORS(r)) for r in RESIDUAL]
        np.testing.assert_allclose(points.get_facecolors()[:, :3], want, atol=0.01)


def test_residual_and_loss_gap_are_drawn_for_each_checkpoint(surface):
    _, residuals, gaps = trajectory_figure(surface, "train/loss", Look()).axes[:3]
    assert residuals.lines[0].get_ydata().tolist() == RESIDUAL.tolist()
    assert residuals.get_ylim() == (0, 1)
    assert gaps.lines[0].get_ydata().tolist() == [1.0, -0.5, 0.0, 0.0]
    assert [label.get_text() for label in gaps.get_xticklabels()] == ["start", "1", "2", "end"]


def test_small_print_says_that_the_height_is_not_the_paths_loss(surface, words):
    text = words(trajectory_figure(surface, "train/loss", Look())).replace("\n", " ")
    assert "The height under it is not the path's loss" in text
    assert "sgd: 4 checkpoints · residual 0 to 0.9 · gap -0.5 to 1" in text


def test_checkpoints_outside_the_plane_are_counted(surface, words):
    surface.trajectories["sgd"] = path(shift=0.3)
    text = words(trajectory_figure(surface, "train/loss", Look())).replace("\n", " ")
    assert "4 checkpoints, 1 of them outside the drawn plane" in text


def test_two_paths_have_their_own_marks_and_a_legend(surface):
    surface.trajectories["adam"] = path(shift=-0.4)
    legend = trajectory_figure(surface, "train/loss", Look()).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["sgd", "adam"]


def test_metric_that_the_path_lacks_leaves_its_gap_open(surface, words):
    more = {"train/accuracy": surface.values["train/loss"] / 4}
    surface = replace(surface, values=surface.values | more, columns={})
    assert np.isnan(gap_of(path(), "train/accuracy")).all()
    text = words(trajectory_figure(surface, "train/accuracy", Look())).replace("\n", " ")
    assert "gap not recorded" in text


def test_surface_without_a_path_is_refused(bowl):
    with pytest.raises(UserError, match="holds no trajectory"):
        trajectory_figure(bowl(), "train/loss", Look())


def test_names_of_checkpoints_are_cut_to_what_differs(bowl):
    surface = bowl()
    surface.trajectories["sgd"] = path(
        labels=("epoch_0000", "epoch_0005", "epoch_0010", "epoch_0015")
    )
    gaps = trajectory_figure(surface, "train/loss", Look()).axes[2]
    assert [label.get_text() for label in gaps.get_xticklabels()] == ["0", "5", "10", "15"]
    assert gaps.get_xlabel() == "checkpoint: epoch"


def test_gaps_of_very_different_sizes_are_drawn_on_a_log_scale_with_few_ticks(surface):
    surface.trajectories["sgd"].values["train/loss"][2] = 0.50001
    axes = trajectory_figure(surface, "train/loss", Look()).axes[2]
    assert axes.get_yscale() == "symlog"
    assert axes.get_yticks().tolist() == [-1, -0.01, 0, 0.01, 1]


def test_share_of_the_variance_stands_beside_that_of_a_random_walk(surface, words):
    record = surface.trajectories["sgd"].record
    record |= {"explained": {"centered": 0.945}, "null": {"centered": 0.888}}
    text = words(trajectory_figure(surface, "train/loss", Look())).replace("\n", " ")
    assert "the plane holds 94.5 % of its variance, 88.8 % of a random walk's" in text
