"""Checkpoints as places: a row is that of the network with the checkpoint in it."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from small_problems import ConvNet, conv_problem, draw, problem_of
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.checks import check_determinism
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.estimators.mean import Evaluator
from losscape_mpi.measure.build import sample_measures
from losscape_mpi.problem.checkpoint import load_into, read_state, write_state
from losscape_mpi.task.states import States, whole_model


@pytest.fixture
def problem():
    return conv_problem(count=20)


@pytest.fixture
def files(problem, tmp_path):
    """Four checkpoints that differ in everything: weights, and the norm layer's statistics."""
    state = problem.model.state_dict()
    paths = []
    for number in range(4):
        moved = {
            name: tensor + 0.05 * draw(*tensor.shape, seed=10 * number + k).abs()
            if tensor.is_floating_point()
            else tensor + number  # batches that the training has seen
            for k, (name, tensor) in enumerate(state.items())
        }
        paths.append(tmp_path / f"epoch_{number}.safetensors")
        write_state(paths[-1], moved, {})
    return [str(path) for path in paths]


def evaluator(problem, directions, **choices):
    measures = sample_measures(["loss", "accuracy"], problem)
    return Evaluator(problem, directions, measures, Choices(8, "contiguous", **choices))


@pytest.mark.parametrize("points", [1, 2, 3])
@pytest.mark.parametrize("fused", [False, True])
def test_a_checkpoint_has_the_row_of_the_network_that_it_is_loaded_into(
    problem, files, fused, points
):
    states = States(problem.model, files)
    moving = evaluator(problem, whole_model(problem.model), fused=fused, points_per_pass=points)
    rows = list(moving.evaluate_many([states(k) for k in range(4)]))
    seen = set()
    for row, path in zip(rows, files, strict=True):
        own = copy.deepcopy(problem.model)
        load_into(own, read_state(Path(path)), Path(path))
        fresh = problem_of(own, **problem.splits)
        # The same arithmetic: as many points in a pass, all at this checkpoint.
        alone = evaluator(fresh, whole_model(own), fused=fused, points_per_pass=points)
        where = {n: t for n, t in own.state_dict().items() if t.is_floating_point()}
        assert row.tobytes() == next(alone.evaluate_many([where])).tobytes()
        if points == 1:
            assert row.tobytes() == evaluator(fresh, {}, fused=fused).evaluate(0.0).tobytes()
        np.testing.assert_allclose(row, evaluator(fresh, {}).evaluate(0.0), rtol=1e-6)
        seen.add(row.tobytes())
    assert len(seen) == 4


def test_the_first_checkpoint_may_have_other_statistics_than_the_network(problem, files):
    states = States(problem.model, files)
    for fused in (False, True):
        moving = evaluator(problem, whole_model(problem.model), fused=fused)

        def row(place, moving=moving):
            return next(moving.evaluate_many([place]))

        found = check_determinism(row, moving, problem, states(0))
        assert found.tobytes() == row(states(0)).tobytes()


def test_order_and_neighbours_change_no_bit(problem, files):
    states = States(problem.model, files)
    moving = evaluator(problem, whole_model(problem.model), fused=True)
    forth = [row.tobytes() for row in moving.evaluate_many([states(k) for k in (0, 1, 2, 3)])]
    back = [next(moving.evaluate_many([states(k)])).tobytes() for k in (3, 2, 1, 0)]
    assert forth == back[::-1]


def test_the_callers_model_stays_as_it_is(problem, files):
    before = {name: tensor.clone() for name, tensor in problem.model.state_dict().items()}
    States(problem.model, files)(2)
    for name, tensor in problem.model.state_dict().items():
        assert tensor.equal(before[name]), name


class Counted(ConvNet):
    """Reads an integer buffer in its forward pass."""

    def __init__(self):
        super().__init__()
        self.register_buffer("shift", torch.tensor([1, 2, 0]))

    def forward(self, x):
        return super().forward(x) + self.shift


def test_a_checkpoint_with_another_integer_buffer_is_refused_by_name(tmp_path):
    model = Counted()
    same, other = model.state_dict(), dict(model.state_dict())
    other["shift"] = torch.tensor([1, 2, 3])
    paths = [str(tmp_path / "same.safetensors"), str(tmp_path / "other.safetensors")]
    for path, state in zip(paths, (same, other), strict=True):
        write_state(tmp_path / path, state, {})
    states = States(model, paths)
    assert set(states(0)) == {n for n, t in same.items() if t.is_floating_point()}
    with pytest.raises(UserError, match=r"other\.safetensors: .*integer buffer shift"):
        states(1)


def test_a_checkpoint_of_another_network_is_refused(problem, tmp_path):
    path = tmp_path / "linear.safetensors"
    write_state(path, nn.Linear(2, 2).state_dict(), {})
    with pytest.raises(UserError, match=r"linear\.safetensors"):
        States(problem.model, [str(path)])(0)
