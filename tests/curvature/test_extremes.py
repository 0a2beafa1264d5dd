"""Eigenvectors and gradients as directions of the network."""

import json

import numpy as np
import pytest
import torch
from dense_hessians import dense_hessian, planted, quadratic_problem, tanh_problem
from numpy.testing import assert_allclose

from losscape_mpi.curvature.extremes import extreme_eigenpairs, gradient_direction
from losscape_mpi.curvature.products import CenterLoss
from losscape_mpi.errors import UserError

EXACT = {"tolerance": 1e-10, "max_products": 200}


def flat(direction, names=None) -> np.ndarray:
    return np.concatenate([direction[n].numpy().reshape(-1) for n in names or direction]).astype(
        "f8"
    )


@pytest.mark.parametrize(("which", "columns"), [("top", [-1, -2]), ("extremes", [-1, 0])])
def test_eigenpairs_are_those_of_the_dense_hessian(which, columns):
    problem = tanh_problem()
    values, vectors = np.linalg.eigh(dense_hessian(problem))
    pairs = extreme_eigenpairs(problem, which=which, batch_size=7, **EXACT)
    assert_allclose(pairs.values, values[columns], rtol=1e-8)
    for direction, column in zip(pairs.vectors, columns, strict=True):
        assert_allclose(abs(flat(direction) @ vectors[:, column]), 1, rtol=1e-6)
    assert pairs.converged


def test_the_largest_is_not_that_of_largest_magnitude():
    problem = quadratic_problem(planted([-7.0, 0.5, 1.0, 2.0, 3.0]))
    pairs = extreme_eigenpairs(problem, **EXACT)
    assert_allclose(pairs.values, [3, 2], rtol=1e-10)
    assert_allclose(extreme_eigenpairs(problem, which="extremes", **EXACT).values, [3, -7])


def test_vectors_are_float32_of_unit_norm_and_shaped_like_the_parameters():
    problem = tanh_problem()
    for direction in extreme_eigenpairs(problem).vectors:
        shapes = {name: tensor.shape for name, tensor in direction.items()}
        assert shapes == {name: p.shape for name, p in problem.model.named_parameters()}
        assert {tensor.dtype for tensor in direction.values()} == {torch.float32}
        assert_allclose(np.linalg.norm(flat(direction)), 1, rtol=1e-6)


def test_parameters_that_were_not_chosen_do_not_move():
    problem = tanh_problem()
    names = ["0.weight", "2.weight"]
    pairs = extreme_eigenpairs(problem, names=names, **EXACT)
    want = np.linalg.eigvalsh(dense_hessian(problem, names))
    assert_allclose(pairs.values, want[[-1, -2]], rtol=1e-8)
    for direction in pairs.vectors:
        assert list(direction) == ["0.weight", "0.bias", "2.weight", "2.bias"]
        assert not direction["0.bias"].any()
        assert not direction["2.bias"].any()
        assert_allclose(np.linalg.norm(flat(direction, names)), 1, rtol=1e-6)


def test_residuals_hold_for_the_stored_vectors():
    problem = tanh_problem()
    pairs = extreme_eigenpairs(problem, tolerance=1e-2)
    hessian = dense_hessian(problem)
    for direction, value, residual in zip(
        pairs.vectors, pairs.values, pairs.residuals, strict=True
    ):
        vector = flat(direction)
        assert_allclose(np.linalg.norm(hessian @ vector - value * vector), residual, rtol=1e-3)
        assert residual <= 1e-2 * value


def test_the_record_says_what_was_computed_in_plain_json():
    problem = tanh_problem()
    pairs = extreme_eigenpairs(problem, names=["2.bias"], samples=20, seed=3, which="extremes")
    record = json.loads(json.dumps(pairs.record))
    assert record["eigenvalues"] == pairs.values.tolist()
    assert record["residuals"] == pairs.residuals.tolist()
    assert record["products"] == 5  # three steps exhaust three parameters
    assert (record["samples"], record["split"], record["seed"]) == (20, "train", 3)
    assert (record["parameters"], record["which"]) == (["2.bias"], "extremes")
    assert (record["converged"], record["tolerance"]) == (True, 1e-3)


def test_an_eigenvalue_below_the_floor_of_rounding_is_marked():
    # A bias added to all logits changes nothing: its curvature is 0.
    problem = tanh_problem()
    pairs = extreme_eigenpairs(problem, names=["2.bias"], which="extremes")
    assert pairs.record["below_floor"] == [False, True]


def test_a_subset_gives_the_hessian_of_that_subset():
    problem = tanh_problem()
    loss = CenterLoss(problem, samples=10, seed=1)
    matrix = np.array([loss.product(row) for row in np.eye(loss.size)])
    pairs = extreme_eigenpairs(problem, samples=10, seed=1, **EXACT)
    assert_allclose(pairs.values, np.linalg.eigvalsh(matrix)[[-1, -2]], rtol=1e-8)
    whole = np.linalg.eigvalsh(dense_hessian(problem))[-1]
    assert abs(pairs.values[0] - whole) > 1e-3 * whole


def test_a_run_that_was_cut_short_says_so():
    spectrum = np.linspace(0, 1, 50)
    pairs = extreme_eigenpairs(quadratic_problem(planted(spectrum)), max_products=8)
    assert not pairs.converged
    assert pairs.record["converged"] is False
    distance = np.abs(spectrum[:, None] - pairs.values).min(axis=0)
    assert (distance <= pairs.residuals).all()


def test_a_float32_network_has_the_eigenvalues_of_float64():
    problem = tanh_problem()
    want = np.linalg.eigvalsh(dense_hessian(problem))[[-1, -2]]
    problem.model.float()
    split = problem.splits["train"]
    object.__setattr__(split, "inputs", split.inputs.float())
    pairs = extreme_eigenpairs(problem)
    assert_allclose(pairs.values, want, rtol=1e-5)
    assert pairs.converged


def test_the_gradient_direction_is_the_closed_form_of_a_quadratic():
    matrix = planted([5.0, 2.0, -1.0])
    problem = quadratic_problem(matrix)
    center, samples = problem.model.w.detach().numpy(), problem.splits["train"].inputs.numpy()
    want = matrix @ (center - samples.mean(axis=0))
    direction, record = gradient_direction(problem, batch_size=4)
    assert_allclose(flat(direction), want / np.linalg.norm(want), rtol=1e-6)
    assert_allclose(record["gradient_norm"], np.linalg.norm(want), rtol=1e-12)
    assert json.loads(json.dumps(record))["parameters"] == ["w"]


def test_the_loss_rises_along_the_gradient_as_its_norm_says():
    problem = tanh_problem()
    direction, record = gradient_direction(problem)
    split, step, values = problem.splits["train"], 1e-4, []
    for sign in (1, -1):
        there = {n: p + sign * step * direction[n] for n, p in problem.model.named_parameters()}
        outputs = torch.func.functional_call(problem.model, there, (split.inputs,))
        values.append(problem.criterion(outputs, split.targets).mean().item())
    assert_allclose((values[0] - values[1]) / (2 * step), record["gradient_norm"], rtol=1e-6)


def test_a_gradient_of_zero_is_no_direction():
    problem = quadratic_problem(np.zeros((3, 3)))
    with pytest.raises(UserError, match=r"gradient at the trained parameters has norm 0\.0"):
        gradient_direction(problem)


def test_a_loss_that_is_not_finite_has_no_directions():
    problem = tanh_problem()
    problem.splits["train"].inputs[0, 0] = float("nan")
    with pytest.raises(UserError, match="gradient at the trained parameters has norm nan"):
        gradient_direction(problem)
    with pytest.raises(UserError, match="holds NaN or infinity"):
        extreme_eigenpairs(problem)


def test_another_kind_of_ends_is_refused():
    with pytest.raises(UserError, match="found eigenvectors 'bottom', expected top or extremes"):
        extreme_eigenpairs(tanh_problem(), which="bottom")
