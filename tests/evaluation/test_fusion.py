"""Fused layers against the layers one by one."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from small_problems import (
    ConvNet,
    conv_problem,
    draw,
    evaluator_of,
    labels,
    moved,
    problem_of,
    random_directions,
    split_of,
)
from torch import nn

from losscape_mpi.evaluation.network.fused_layer import FusedLayer
from losscape_mpi.evaluation.network.fusion import fuse
from losscape_mpi.evaluation.network.prefix import SplitModel
from losscape_mpi.problem.zoo.registry import build

POINTS = [(0.0, 0.0), (0.05, -0.02), (-0.1, 0.07)]


class Residual(nn.Module):
    """Identity and convolutional shortcuts, an activation that is used twice, no affine norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.first, self.norm1 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(4, affine=False)
        self.short, self.norm3 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.dense, self.norm4 = nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6)
        self.linear = nn.Linear(6, 3)
        for k, parameter in enumerate(self.parameters()):
            parameter.data.copy_(0.4 * draw(*parameter.shape, seed=200 + k))
        for k, norm in enumerate((self.norm1, self.norm2, self.norm3, self.norm4)):
            norm.running_mean.copy_(0.2 * draw(norm.num_features, seed=300 + k))
            norm.running_var.copy_(0.5 + draw(norm.num_features, seed=310 + k).abs())

    def forward(self, x):
        x = torch.relu(self.stem(x))
        y = torch.relu(self.norm1(self.first(x)))
        y = self.norm2(self.second(y))
        y += x
        y = torch.relu(y)
        z = torch.relu(y + self.norm3(self.short(x)))
        z = (z + y).mean(dim=(2, 3))
        return self.linear(torch.relu(self.norm4(self.dense(z))))


def residual_problem(count=7):
    return problem_of(Residual(), train=split_of(draw(count, 3, 6, 5), labels(count, 3)))


def table(evaluator, points=POINTS):
    return np.array(list(evaluator.evaluate_many(points)))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("make", [residual_problem, conv_problem])
def test_folded_batch_norm_is_batch_norm_at_every_point(make, layout):
    problem = make()
    directions = random_directions(problem.model)  # norm layers move, too
    fused = table(evaluator_of(problem, directions, fused=True, layout=layout))
    plain = table(evaluator_of(problem, directions, layout=layout))
    assert_allclose(fused, plain, rtol=1e-11)


def test_fused_float32_is_near_float64():
    problem = residual_problem()
    directions = random_directions(problem.model)
    options = {"fused": True, "precision": "float32", "layout": "channels_last"}
    single = table(evaluator_of(problem, directions, **options))
    assert_allclose(single, table(evaluator_of(problem, directions)), rtol=1e-5)


def test_every_norm_is_folded_and_every_relu_behind_a_layer_is_taken_in():
    fused = fuse(Residual().eval())
    assert [(f.layer, f.norm) for f in fused.folds] == [
        ("first", "norm1"),
        ("second", "norm2"),
        ("short", "norm3"),
        ("dense", "norm4"),
    ]
    assert fused.num_merged == 5  # the last addition has no ReLU behind it
    layers = [m for m in fused.model.modules() if isinstance(m, FusedLayer)]
    # x is read by the shortcut after the second layer, y after the third: both must stay
    assert not any(layer.may_overwrite for layer in layers)


@pytest.mark.parametrize(
    ("name", "folds"), [("resnet20", 21), ("resnet20_noshort", 19), ("vgg9", 8)]
)
def test_zoo_networks_fold_all_their_norms(name, folds):
    model = build(name, (3, 32, 32), 10).eval()
    num_norms = sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
    fused = fuse(model)
    assert len(fused.folds) == num_norms == folds
    left = [m for m in fused.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert not left


def test_a_norm_is_folded_right_whether_it_moves_or_not():
    problem = conv_problem()
    everything = random_directions(problem.model)
    weights = {a: {"conv.weight": d["conv.weight"]} for a, d in everything.items()}
    for directions in (everything, weights):
        fused = table(evaluator_of(problem, directions, fused=True))
        assert_allclose(fused, table(evaluator_of(problem, directions)), rtol=1e-11)


def test_moving_statistics_give_nan_where_the_variance_is_negative():
    problem = conv_problem()
    direction = {"alpha": {"norm.running_var": torch.ones(4)}}
    lowest = float(problem.model.norm.running_var.min())
    for fused in (False, True):
        evaluator = evaluator_of(problem, direction, fused=fused)
        assert np.isnan(evaluator.evaluate(-lowest - 0.5)[0])
        there = moved(problem.model, {})
        there.norm.running_var.add_(0.25)
        split = problem.splits["train"]
        with torch.no_grad():
            want = nn.functional.cross_entropy(there(split.inputs.double()), split.targets)
        assert_allclose(evaluator.evaluate(0.25)[0], float(want), rtol=1e-11)


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        x = self.norm(self.conv(x))
        x = self.norm(self.conv(torch.relu(x)))
        return self.linear(x.mean(dim=(2, 3)))


def test_a_layer_that_is_used_twice_stays_as_it_is():
    problem = problem_of(Shared(), train=split_of(draw(5, 3, 4, 3), labels(5, 3)))
    assert fuse(Shared().eval()).folds == []
    directions = random_directions(problem.model)
    fused = table(evaluator_of(problem, directions, fused=True))
    assert_allclose(fused, table(evaluator_of(problem, directions)), rtol=1e-12)


def test_a_hook_keeps_its_layer():
    model = ConvNet().eval()
    model.norm.register_forward_hook(lambda module, inputs, output: 2 * output)
    assert fuse(model).folds == []


def test_a_forward_that_was_replaced_is_never_taken_for_that_of_the_class():
    model = ConvNet().eval()
    model.norm.forward = lambda x: 2 * x
    assert fuse(model).folds == []
    model.forward = lambda x: x.mean(dim=(2, 3))
    assert fuse(model) == "its forward is not that of its class"


def test_a_forward_that_asks_for_its_data_cannot_be_traced():
    class Asking(nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else super().forward(-x)

    assert isinstance(fuse(Asking(3, 2).eval()), str)


def test_the_callers_model_stays_as_it_is():
    problem = residual_problem()
    before = [t.clone() for t in problem.model.state_dict().values()]
    table(evaluator_of(problem, random_directions(problem.model), fused=True))
    assert all(
        torch.equal(a, b) for a, b in zip(before, problem.model.state_dict().values(), strict=True)
    )
    assert isinstance(problem.model.norm1, nn.BatchNorm2d)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("points", [2, 5])
def test_several_points_in_one_pass_are_the_points_one_by_one(fused, points):
    problem = residual_problem()
    directions = random_directions(problem.model)
    options = {"metrics": ("loss", "accuracy"), "fused": fused}
    many = table(evaluator_of(problem, directions, points_per_pass=points, **options))
    one = table(evaluator_of(problem, directions, **options))
    assert_allclose(many, one, rtol=1e-11)


def test_bfloat16_is_bfloat16_and_its_loss_is_taken_in_float32():
    problem = residual_problem(40)
    directions = random_directions(problem.model)
    exact = table(evaluator_of(problem, directions))
    for fused in (False, True):
        options = {"precision": "bfloat16", "fused": fused, "layout": "channels_last"}
        low = table(evaluator_of(problem, directions, **options))
        assert_allclose(low[:, 0], exact[:, 0], rtol=0.05)
        assert (np.abs(low[:, 0] / exact[:, 0] - 1) > 1e-6).all()


def test_layers_that_no_direction_moves_are_computed_once_with_the_same_bits():
    problem = residual_problem()
    everything = random_directions(problem.model)
    late = ("linear.", "dense.", "norm4.")
    directions = {
        axis: {n: t if n.startswith(late) else torch.zeros_like(t) for n, t in d.items()}
        for axis, d in everything.items()
    }
    evaluator = evaluator_of(problem, directions, fused=True, precision="float32")
    split = evaluator.passes.replicas[0].network._model
    assert isinstance(split, SplitModel)
    calls = []
    split.prefix.register_forward_hook(lambda *_: calls.append(1))
    first = table(evaluator)
    assert len(calls) == len(evaluator.passes.batches)
    assert table(evaluator).tobytes() == first.tobytes()
    # the same point with directions that are told from 0 by nothing but a shortcut's parameter
    plain = table(evaluator_of(problem, directions, precision="float32"))
    assert_allclose(first, plain, rtol=1e-5)


def test_a_model_whose_first_layer_moves_is_not_split():
    problem = residual_problem()
    evaluator = evaluator_of(problem, random_directions(problem.model), fused=True)
    assert not isinstance(evaluator.passes.replicas[0].network._model, SplitModel)


def test_an_activation_that_is_kept_is_never_written_to():
    problem = residual_problem()
    direction = {"alpha": {"second.weight": draw(4, 4, 3, 3, seed=9)}}
    evaluator = evaluator_of(problem, direction, fused=True, precision="float32")
    assert isinstance(evaluator.passes.replicas[0].network._model, SplitModel)
    points = [(0.0,), (0.5,), (0.0,), (0.5,)]
    rows = table(evaluator, points)
    assert rows[0].tobytes() == rows[2].tobytes()
    assert rows[1].tobytes() == rows[3].tobytes()
    plain = table(evaluator_of(problem, direction, precision="float32"), points)
    assert_allclose(rows, plain, rtol=1e-5)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("channels", [1, 4])
def test_bfloat16_adds_a_shortcut_in_any_layout(layout, channels):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, channels, 1)
            self.conv = nn.Conv2d(channels, channels, 1)
            self.linear = nn.Linear(channels, 3)

        def forward(self, x):
            x = torch.relu(self.stem(x))
            x = torch.relu(self.conv(x) + x)
            return self.linear(x.mean(dim=(2, 3)))

    problem = problem_of(Small(), train=split_of(draw(5, 3, 4, 4), labels(5, 3)))
    directions = random_directions(problem.model)
    options = {"fused": True, "layout": layout}
    low = table(evaluator_of(problem, directions, precision="bfloat16", **options))
    exact = table(evaluator_of(problem, directions))
    assert_allclose(low[:, 0], exact[:, 0], rtol=0.05)
