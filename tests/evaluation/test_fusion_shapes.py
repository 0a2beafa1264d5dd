"""Additions and batch norms behind a layer whose shapes are not the layer's own."""

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose
from small_problems import draw, evaluator_of, labels, problem_of, random_directions, split_of
from torch import nn

from losscape_mpi.evaluation.network.fused_layer import FusedLayer
from losscape_mpi.evaluation.network.fusion import fuse
from losscape_mpi.problem.zoo.registry import build

GEOMETRIES = list(product((1, 2, 3), (0, 2), (1, 2)))
POINTS = [(0.0, 0.0), (0.05, -0.02), (-0.1, 0.07)]


class Images(nn.Module):
    """Two convolutions and what a test does between them."""

    def __init__(self, join):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.shift = nn.Parameter(0.3 * draw(1, seed=5))
        self.channels = nn.Parameter(0.3 * draw(4, 1, 1, seed=6))
        self.linear = nn.Linear(4, 3)
        self.join = join

    def forward(self, x):
        return self.linear(self.join(self, self.first(x)).mean(dim=(2, 3)))


def scalar(model, x):  # Fixup
    return torch.relu(model.second(x) + model.shift)


def channels(model, x):
    return torch.relu(model.channels + model.second(x))


def pooled(model, x):  # squeeze and excite: the layer is smaller than what is added
    return torch.relu(model.second(F.adaptive_avg_pool2d(x, 1)) + x)


def one_sample(model, x):
    return torch.relu(model.second(x) + x[:1])


def number(model, x):  # a traced number is no tensor
    return torch.relu(model.second(x) + x.size(2))


def wider(model, x):
    return torch.relu(model.second(x) + x.double()).to(x.dtype)


def itself(model, x):  # what is added is the layer's input: the sum cannot take its place
    return torch.relu(model.second(x) + x)


def view_of_itself(model, x):
    return torch.relu(model.second(x[:]) + x)


def view_read_later(model, x):
    first = x[:, :1]
    return torch.relu(model.second(torch.tanh(x)) + x) + first


class Tokens(nn.Module):
    """Linear layers on (b, T, n), and an addition of one row to all tokens."""

    def __init__(self, norm=None):
        super().__init__()
        self.embed, self.mix, self.head = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.norm = nn.Identity() if norm is None else norm

    def forward(self, x):
        tokens = torch.relu(self.norm(self.embed(x)))
        return self.head(torch.relu(self.mix(tokens.mean(dim=1, keepdim=True)) + tokens).sum(1))


def token_problem(norm=None, length=6):
    torch.manual_seed(0)
    return problem_of(Tokens(norm), train=split_of(draw(7, length, 4), labels(7, 3)))


def image_problem(join):
    torch.manual_seed(0)
    return problem_of(Images(join), train=split_of(draw(7, 3, 6, 5), labels(7, 3)))


def table(evaluator):
    return np.array(list(evaluator.evaluate_many(POINTS)))


def assert_fusion_changes_nothing(problem, **options):
    directions = random_directions(problem.model)
    fused = table(evaluator_of(problem, directions, fused=True, precision="float32", **options))
    plain = table(evaluator_of(problem, directions, precision="float64"))
    assert_allclose(fused[:, 0], plain[:, 0], rtol=1e-5)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("points", [1, 2])
@pytest.mark.parametrize("join", [scalar, channels, pooled, one_sample, number, wider])
def test_what_is_added_may_have_any_shape_that_broadcasts(join, points, layout):
    problem = image_problem(join)
    assert fuse(Images(join).eval()).num_merged == 1
    assert_fusion_changes_nothing(problem, points_per_pass=points, layout=layout)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("join", [itself, view_of_itself, view_read_later])
def test_a_sum_takes_the_place_of_nothing_that_is_read(join, layout):
    assert_fusion_changes_nothing(image_problem(join), layout=layout)


@pytest.mark.parametrize("points", [1, 2])
def test_a_linear_layer_adds_what_broadcasts(points):
    assert_fusion_changes_nothing(token_problem(), points_per_pass=points)


def test_a_norm_over_another_axis_than_the_layers_outputs_is_not_folded():
    problem = token_problem(nn.BatchNorm1d(6))
    assert fuse(problem.model).folds == []
    assert_fusion_changes_nothing(token_problem(nn.BatchNorm1d(6)))


def test_a_norm_over_another_axis_of_the_same_width_is_refused_when_it_runs():
    fused = fuse(token_problem(nn.BatchNorm1d(5), length=5).model)
    assert [fold.norm for fold in fused.folds] == ["norm"]
    with pytest.raises(ValueError, match="on inputs of 3 dimensions, expected 2"):
        fused.model(draw(7, 5, 4))


def test_a_layer_whose_weight_is_read_elsewhere_keeps_its_norm():
    class Reading(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
            self.norm.running_var.fill_(4.0)

        def forward(self, x):
            return self.norm(self.conv(x)).mean(dim=(2, 3)) + self.conv.weight.sum()

    assert fuse(Reading().eval()).folds == []
    problem = problem_of(Reading(), train=split_of(draw(7, 3, 6, 5), labels(7, 4)))
    assert_fusion_changes_nothing(problem)


@pytest.mark.parametrize(("stride", "padding", "dilation"), GEOMETRIES)
def test_the_shape_of_a_convolutions_outputs_is_known_before(stride, padding, dilation):
    source = nn.Conv2d(3, 4, (3, 2), stride, padding, dilation)
    inputs = draw(2, 3, 8, 9)
    assert FusedLayer(source)._output_shape(inputs) == source(inputs).shape


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
def test_all_shortcuts_of_a_residual_network_are_added_in_one_kernel(monkeypatch):
    kernel, shapes = FusedLayer._kernel, []

    def noted(layer, inputs, added):
        shapes.append(None if added is None else added.shape)
        return kernel(layer, inputs, added)

    monkeypatch.setattr(FusedLayer, "_kernel", noted)
    with torch.inference_mode():
        fuse(build("resnet20", (3, 32, 32), 10).eval()).model(draw(2, 3, 32, 32))
    assert len(shapes) - shapes.count(None) == 9
