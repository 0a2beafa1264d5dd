"""What the benchmarks evaluate: as many images as asked for, and what is not genuine is said."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from benchmarks import scenes
from benchmarks.baseline import own_net, set_weights
from benchmarks.loop2018 import evaluate, make_loader
from benchmarks.precision import errors, fresh_points
from benchmarks.samples import as_lists
from benchmarks.scenes import POINT, load_scene, point_timing, start_choices
from benchmarks.timing import Timing
from losscape_mpi.evaluation.estimators.mean import Evaluator
from losscape_mpi.measure.build import sample_measures
from losscape_mpi.study.grid import Grid

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bare(tmp_path_factory, repository):
    """A scene without data and checkpoint."""
    path = tmp_path_factory.mktemp("bare") / "bare.yaml"
    text = "name: bare\nproblem:\n  model: resnet20\n  checkpoint: none.t7\n"
    text += "  data: {name: cifar10, root: nowhere, splits: [train], samples: 8}\noutput: a.h5\n"
    path.write_text(text)
    return load_scene(path, [], 12)


def test_missing_data_and_checkpoint_are_replaced_and_said(bare):
    assert [note.split(",")[0] for note in bare.notes] == [
        "bare: random images",
        "bare: initial parameters",
    ]
    assert bare.problem.splits["train"].inputs.shape == (12, 3, 32, 32)
    assert len(bare.images) == 12


def test_the_loop_and_the_evaluator_compute_the_same_point(bare):
    measures = sample_measures(["loss", "accuracy"], bare.problem)
    choices = start_choices(bare.problem, "float32", CPU)
    found = Evaluator(bare.problem, bare.directions, measures, choices)
    net, weights = own_net(bare.problem.model)
    set_weights(net, weights, as_lists(bare.directions, net), POINT)
    want = evaluate(net, make_loader(bare.images, num_workers=0), CPU)
    assert_allclose(found.evaluate(*POINT)[[0, 2]], want, rtol=1e-5)


def test_a_point_is_timed_as_one_of_those_computed_together(monkeypatch):
    class Counting:
        group = 4

        def evaluate_many(self, points):
            asked.append(len(points))
            return iter(points)

    asked = []
    monkeypatch.setattr(
        scenes, "measure", lambda function, device, max_s: function() or Timing(4, 8, 2, 1)
    )
    assert point_timing(Counting(), CPU) == Timing(1, 2, 0.5, 1)
    assert asked == [4]


@pytest.mark.slow
def test_genuine_images_are_repeated_in_turn(repository, shared):
    scene = load_scene(repository / "configs" / "resnet56.yaml", [], 5085 + 7)
    assert scene.notes == []
    inputs = scene.problem.splits["train"].inputs
    assert len(inputs) == 5085 + 7
    assert inputs[5085:].equal(inputs[:7])
    assert not inputs[0].equal(inputs[1])


def test_errors_are_relative_for_losses_and_absolute_for_accuracies():
    got, wanted = np.array([[1.1, 0.5], [2.0, 0.9]]), np.array([[1.0, 0.5], [2.0, 0.6]])
    assert_allclose(errors(got, wanted), [0.1, 0.3])


def test_fresh_points_lie_in_the_grids_range_and_are_always_the_same(bare):
    points = fresh_points(bare.study, 64)
    assert points == fresh_points(bare.study, 64)
    grid = Grid.from_config(bare.study.grid)
    assert (np.abs(points) <= [grid.alpha[-1], grid.beta[-1]]).all()
    assert len(set(points)) == 64
