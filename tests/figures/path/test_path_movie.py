"""Frames of a path on a surface: how many, what moves, what stays."""

import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.figures.field import make_field
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.path.movie import path_frames
from losscape_mpi.figures.path.panels import Regions
from losscape_mpi.figures.path.words import axis_label, clock_of, map_title, path_notes
from losscape_mpi.store.surface import Trajectory

LOOK = Look(title="some network")


def path_of(alpha, beta, **record):
    t = len(alpha)
    own, plane = np.linspace(2, 0.5, t), np.linspace(2.5, 0.5, t)
    return Trajectory(
        [f"c{k}" for k in range(t)],
        np.array(alpha, dtype=float),
        np.array(beta, dtype=float),
        np.linspace(0.8, 0, t),
        {"train/loss": own, "train/accuracy": np.linspace(0.3, 0.9, t)},
        {"train/loss": plane},
        record,
    )


PATH = path_of([-0.8, -0.3, 0.4, 0.0], [0.6, 0.5, 0.2, 0.0], epochs=["0", "5", "10", "15"])


def regions_of(classes):
    x, y = np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])
    answers = (np.broadcast_to(np.eye(3)[k], (3, 3, 3)) for k in classes)
    points = np.array([[0.0, 0.0], [1.0, 2.0]])
    return Regions(x, y, points, np.array([0, 1]), 3, answers)


def changed(one, other):
    return (one.astype(int) != other.astype(int)).any(axis=2)


STRAIGHT = path_of([-0.8, -0.4, 0.0, 0.4, 0.8], [0.0] * 5)


def test_frames_with_regions_move_in_their_panels_alone(bowl):
    frames = list(path_frames(bowl(), PATH, "train/loss", LOOK, regions_of([0, 1, 1, 1])))
    assert [frame.shape for frame in frames] == [(520, 1000, 3)] * 4  # one for each checkpoint
    assert {frame.dtype for frame in frames} == {np.dtype("u1")}

    first, second, third = (frame[100:300, 660:880] for frame in frames[:3])
    assert changed(first, second).mean() > 0.9
    assert not changed(second, third).any()

    moved = np.any([changed(frames[0], frame) for frame in frames[1:]], axis=0)
    assert not moved[470:].any()  # small print
    assert not moved[:25].any()  # title
    assert not moved[330:385].any()  # labels under the panels
    assert not moved[:, 500:600].any(axis=1)[70:300].any()  # colour bar


@pytest.mark.slow
def test_the_path_grows_on_a_map_that_stands_alone(bowl):
    frames = list(path_frames(bowl(), STRAIGHT, "train/loss", LOOK))
    assert [frame.shape for frame in frames] == [(520, 640, 3)] * 5
    # Along a straight line each frame's path lies on the last one's.
    black = [(frame[100:300, :520].max(axis=2) < 20).sum() for frame in frames]
    assert (np.diff(black) > 5).all()

    (last,) = path_frames(bowl(), STRAIGHT, "train/loss", LOOK, shown=[4])
    np.testing.assert_array_equal(last, frames[4])  # whatever was drawn before


def test_a_profile_is_refused(surface_of):
    line = surface_of(np.ones((5, 1)), beta=[0.0], is_line=True)
    with pytest.raises(UserError, match="1-D profile"):
        next(path_frames(line, PATH, "train/loss", LOOK))


@pytest.mark.slow
def test_a_diverged_checkpoint_stops_no_movie(bowl):
    path = path_of([np.nan, -0.3, 0.0], [np.nan, 0.5, 0.0])
    path.residual[0] = path.values["train/loss"][0] = np.nan
    assert len(list(path_frames(bowl(), path, "train/loss", LOOK))) == 3
    assert "nan" in map_title(path, make_field(bowl(), "train/loss"), 0)


def test_the_title_tells_the_clock_and_both_losses(bowl):
    first, second = map_title(PATH, make_field(bowl(), "train/loss"), 1).splitlines()
    assert first == "epoch 5 of 15"
    assert second == "training loss 1.5 · under the path 1.833 · residual 0.53"


def test_steps_or_plain_numbers_count_where_epochs_do_not():
    same = {"epochs": ["0", "0", "0"], "steps": ["0", "10", "20"]}
    assert clock_of(path_of([0, 0, 0], [0, 0, 0], **same)) == ("step", [0, 10, 20])
    assert clock_of(path_of([0, 0], [0, 0], epochs=[None, None])) == ("checkpoint", [0, 1])


def test_principal_directions_stand_beside_a_random_walk(bowl):
    surface = bowl()
    shares = {"kind": "pca", "shares": [0.862, 0.1], "null_shares": [0.61, 0.15]}
    surface.manifest["plane"]["axes"] = {"alpha": shares, "beta": {"kind": "pca"}}
    assert axis_label(surface, "alpha").startswith("α: principal direction 1: 86.2 %")
    assert "random walk 15.0 %" in axis_label(surface, "beta")


def test_another_plane_has_its_own_labels(bowl):
    assert axis_label(bowl(), "alpha") == "α (filter-normalised, ‖d‖ = 31.2)"


def test_checkpoints_outside_the_plane_are_counted(bowl):
    path = path_of([3.0, 0.5, 0.0], [0.0, 0.0, 0.0])
    assert "1 checkpoints lie outside" in path_notes(path, make_field(bowl(), "train/loss"))[0]
