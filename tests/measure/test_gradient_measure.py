"""The measure gradient against float64 autograd over all samples, and against differences."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from small_problems import (
    ConvNet,
    draw,
    evaluator_of,
    labels,
    moved,
    problem_of,
    random_directions,
    split_of,
)
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.measure.build import build_measures
from losscape_mpi.measure.place import Setting
from losscape_mpi.problem.loss import cross_entropy, mse

CPU = torch.device("cpu")
PLACES = [(0.0, 0.0), (0.3, -0.2), (-1.0, 0.5)]


def conv_problem():
    train = split_of(draw(20, 3, 6, 5, seed=1).double(), labels(20, 3, seed=2), available=40)
    test = split_of(draw(9, 3, 6, 5, seed=3).double(), labels(9, 3, seed=4))
    return problem_of(ConvNet().double(), train=train, test=test)


def mlp_problem():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    return problem_of(model, mse, train=split_of(draw(30, 4).double(), draw(30, 2, seed=1)))


PROBLEMS = {"conv": conv_problem, "mlp": mlp_problem}


def measured(problem, directions, places=PLACES, threads=1, batch_size=7):
    """Columns, and their numbers at the places: (places, columns)."""
    made = build_measures(["gradient"], problem, directions)
    (measure,) = made.places
    row = measure.bind(problem, Setting(CPU, threads, batch_size, directions))
    model, rows = copy.deepcopy(problem.model), []
    center = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.requires_grad_(False)
    for place in places:
        for name, parameter in model.named_parameters():
            parameter.copy_(center[name])
            for step, direction in zip(place, directions.values(), strict=True):
                if name in direction:
                    parameter.add_(step * direction[name].double())
        rows.append(row(model))
    return made.place_columns, np.array(rows)


def by_autograd(problem, directions, place, split):
    """The gradient of the mean loss by name, of all samples at once in float64."""
    there = moved(problem.model, directions, *place)
    samples = problem.splits[split]
    targets = samples.targets.double() if samples.targets.is_floating_point() else samples.targets
    loss = problem.criterion(there(samples.inputs.double()), targets).double().mean()
    named = dict(there.named_parameters())
    slopes = torch.autograd.grad(loss, list(named.values()))
    return dict(zip(named, slopes, strict=True))


@pytest.mark.parametrize("name", PROBLEMS)
def test_norms_and_components_are_those_of_autograd_over_all_samples(name):
    problem = PROBLEMS[name]()
    directions = random_directions(problem.model)
    columns, table = measured(problem, directions)
    names = [column.name for column in columns]
    for place, row in zip(PLACES, table, strict=True):
        found = dict(zip(names, row.tolist(), strict=True))
        for split in problem.splits:
            slopes = by_autograd(problem, directions, place, split)
            whole = torch.cat([slope.reshape(-1) for slope in slopes.values()])
            assert_allclose(found.pop(f"{split}/gradient_norm"), float(whole.norm()), rtol=1e-12)
            for axis, direction in directions.items():
                want = sum(float((slopes[n] * d.double()).sum()) for n, d in direction.items())
                got = found.pop(f"{split}/gradient_{axis}")
                assert_allclose(got, want, rtol=1e-12, atol=1e-13 * float(whole.norm()))
            layers = {n.rpartition(".")[0] for n in slopes}
            for layer in layers:
                parts = [s for n, s in slopes.items() if n.rpartition(".")[0] == layer]
                want = float(torch.cat([p.reshape(-1) for p in parts]).norm())
                got = found.pop(f"{split}/gradient_norm:{layer}")
                assert_allclose(got, want, rtol=1e-12)
        assert found == {}


@pytest.mark.parametrize("name", PROBLEMS)
def test_components_are_the_central_differences_of_the_surfaces_own_loss(name):
    problem, step = PROBLEMS[name](), 1e-5
    directions = random_directions(problem.model)
    columns, table = measured(problem, directions)
    losses = evaluator_of(problem, directions)  # float64
    for place, row in zip(PLACES, table, strict=True):
        found = {column.name: value for column, value in zip(columns, row, strict=True)}
        for k, axis in enumerate(directions):
            ends = [
                losses.evaluate(*(x + sign * step * (j == k) for j, x in enumerate(place)))
                for sign in (1, -1)
            ]
            for number, split in enumerate(problem.splits):
                slope = (ends[0] - ends[1])[3 * number] / (2 * step)
                got = found[f"{split}/gradient_{axis}"]
                assert_allclose(got, slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_number_of_threads_changes_no_bit(precision):
    problem = conv_problem()
    if precision == "float32":
        parts = {name: split_of(s.inputs.float(), s.targets) for name, s in problem.splits.items()}
        problem = problem_of(ConvNet(), **parts)
    directions = random_directions(problem.model)
    tables = [
        measured(problem, directions, threads=threads, batch_size=3)[1].tobytes()
        for threads in (1, 2, 3)
    ]
    assert len(set(tables)) == 1


def test_built_in_losses_are_taken_of_float64_outputs_and_older_files_go_on_without():
    train = split_of(draw(40, 4), labels(40, 3))
    problem = problem_of(nn.Linear(4, 3), train=train)
    (measure,) = build_measures(["gradient"], problem, {}).places
    model = copy.deepcopy(problem.model).requires_grad_(False)
    wide, narrow = (
        measure.bind(problem, Setting(CPU, widens=widens))(model)[0] for widens in (True, False)
    )
    outputs = problem.model(train.inputs)
    for found, each in ((wide, outputs.double()), (narrow, outputs)):
        loss = cross_entropy(each, train.targets).double().sum()
        slopes = torch.autograd.grad(loss, list(problem.model.parameters()), retain_graph=True)
        whole = torch.cat([slope.reshape(-1).double() for slope in slopes]) / 40
        assert_allclose(found, float(whole.norm()), rtol=1e-12)
    assert wide != narrow


def test_the_model_is_left_as_it_is():
    problem = conv_problem()
    (measure,) = build_measures(["gradient"], problem, {}).places
    model = copy.deepcopy(problem.model).requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    measure.bind(problem, Setting(CPU))(model)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())


def test_columns_say_what_they_are():
    problem = conv_problem()
    columns, _ = measured(problem, random_directions(problem.model))
    train = [column for column in columns if column.split == "train"]
    assert [column.split for column in columns] == ["train"] * 7 + ["test"] * 7
    assert [(column.quantity, column.role) for column in train] == [
        ("gradient_norm", "value"),
        ("gradient_alpha", "value"),
        ("gradient_beta", "value"),
        ("gradient_norm:conv", "part"),
        ("gradient_norm:norm", "part"),
        ("gradient_norm:up", "part"),
        ("gradient_norm:linear", "part"),
    ]
    assert {c.of for c in train if c.role == "part"} == {"train/gradient_norm"}
    assert [c.low for c in train] == [0.0, None, None, 0.0, 0.0, 0.0, 0.0]
    assert [c.comparison for c in train[:3]] == ["relative", "absolute", "absolute"]


def test_parameters_that_do_not_move_are_left_out():
    problem = conv_problem()
    moving = {"linear.weight": draw(3, 5), "conv.weight": torch.zeros(4, 3, 3, 3)}
    directions = {"alpha": moving}
    columns, table = measured(problem, directions, [(0.25,)])
    assert [c.quantity for c in columns[:3]] == [
        *("gradient_norm", "gradient_alpha", "gradient_norm:linear"),
    ]
    slope = by_autograd(problem, directions, (0.25,), "train")["linear.weight"]
    want = [float(slope.norm()), float((slope * moving["linear.weight"].double()).sum())]
    assert_allclose(table[0, :3], [*want, want[0]], rtol=1e-12)


def test_at_places_on_no_plane_all_parameters_move_and_there_are_no_components():
    problem = conv_problem()
    columns, table = measured(problem, {}, [()])
    assert [c.quantity for c in columns[:2]] == ["gradient_norm", "gradient_norm:conv"]
    slopes = by_autograd(problem, {}, (), "train")
    whole = torch.cat([slope.reshape(-1) for slope in slopes.values()])
    assert_allclose(table[0, 0], float(whole.norm()), rtol=1e-12)


def test_a_plane_that_moves_buffers_is_refused_by_name():
    problem = conv_problem()
    directions = random_directions(problem.model)
    directions["beta"]["norm.running_mean"] = torch.zeros(4, dtype=torch.float64)
    build_measures(["gradient"], problem, directions)  # it does not move after all
    directions["beta"]["norm.running_mean"] = torch.ones(4, dtype=torch.float64)
    message = r"plane moves the buffer norm\.running_mean.*set plane\.states to false"
    with pytest.raises(UserError, match=message):
        build_measures(["gradient"], problem, directions)


def test_a_plane_that_moves_nothing_is_refused():
    problem = conv_problem()
    with pytest.raises(UserError, match="found no parameter that moves"):
        build_measures(["gradient"], problem, {"alpha": {"linear.weight": torch.zeros(3, 5)}})
