"""Gradient and Hessian products against closed forms and dense Hessians."""

import gc

import numpy as np
import pytest
import torch
from dense_hessians import (
    dense_hessian,
    draw,
    first_argument,
    labels,
    planted,
    problem_of,
    quadratic_problem,
    tanh_problem,
)
from numpy.testing import assert_allclose
from torch import nn

from losscape_mpi.curvature.products import CenterLoss
from losscape_mpi.errors import UserError

NUM_SAMPLES = 45  # 7 leaves a last batch of 3, 32 one of 13


def vector(size: int, seed: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(size)


class NormNet(nn.Module):
    """Convolution and batch normalization with statistics of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.linear = nn.Linear(3, 3)
        self.norm.running_mean.copy_(0.3 * draw(3, seed=5))
        self.norm.running_var.copy_(0.5 + draw(3, seed=6).abs())

    def forward(self, x):
        return self.linear(torch.tanh(self.norm(self.conv(x))).mean(dim=(2, 3)))


def norm_problem():
    torch.manual_seed(1)
    return problem_of(NormNet().double(), draw(10, 2, 5, 4, seed=1), labels(10, 3, seed=2))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(4, 12)
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        query, key, value = self.mix(x).unflatten(-1, (3, 1, 4)).transpose(1, 3).unbind(2)
        return self.out(nn.functional.scaled_dot_product_attention(query, key, value).mean((1, 2)))


@pytest.mark.parametrize("batch_size", [7, 32, NUM_SAMPLES])
def test_the_product_is_that_of_the_dense_hessian_for_any_batch_size(batch_size):
    problem = tanh_problem(NUM_SAMPLES)
    loss = CenterLoss(problem, batch_size=batch_size)
    v = vector(loss.size)
    want = dense_hessian(problem) @ v
    assert_allclose(loss.product(v), want, rtol=0, atol=1e-10 * np.abs(want).max())


@pytest.mark.parametrize("batch_size", [7, 32, NUM_SAMPLES])
def test_the_gradient_is_that_of_the_mean_loss_for_any_batch_size(batch_size):
    problem = tanh_problem(NUM_SAMPLES)
    split = problem.splits["train"]
    problem.criterion(problem.model(split.inputs), split.targets).mean().backward()
    want = torch.cat([p.grad.reshape(-1) for p in problem.model.parameters()]).numpy()
    assert_allclose(CenterLoss(problem, batch_size=batch_size).gradient(), want, atol=1e-13)


def test_an_average_of_batches_that_ignores_a_short_last_one_is_another_matrix():
    problem = tanh_problem(NUM_SAMPLES)
    loss = CenterLoss(problem, batch_size=32)
    v = vector(loss.size)
    parts = [dense_hessian(problem, rows=rows) @ v for rows in (slice(0, 32), slice(32, None))]
    weighted = (32 * parts[0] + 13 * parts[1]) / NUM_SAMPLES
    unweighted, summed = (parts[0] + parts[1]) / 2, parts[0] + parts[1]
    length = np.linalg.norm(weighted)
    assert np.linalg.norm(loss.product(v) - weighted) < 1e-10 * length
    assert np.linalg.norm(loss.product(v) - unweighted) > 1e-2 * length
    assert np.linalg.norm(loss.product(v) - summed) > 0.5 * length


def test_a_subset_of_parameters_gives_its_block_of_the_hessian_in_the_models_order():
    problem = tanh_problem()
    loss = CenterLoss(problem, ["2.weight", "0.bias"], batch_size=7)
    v = vector(loss.size)
    assert loss.names == ("0.bias", "2.weight")
    want = dense_hessian(problem, list(loss.names)) @ v
    assert_allclose(loss.product(v), want, rtol=0, atol=1e-12)


def test_the_hessian_of_a_quadratic_is_its_matrix():
    matrix = planted([5.0, 2.0, 0.0, -1.0, -3.0])
    loss = CenterLoss(quadratic_problem(matrix), batch_size=4)
    v = vector(5)
    assert_allclose(loss.product(v), matrix @ v, atol=1e-13)


def test_the_gradient_of_a_quadratic_is_its_closed_form():
    matrix = planted([5.0, 2.0, -1.0])
    problem = quadratic_problem(matrix)
    center, samples = problem.model.w.detach().numpy(), problem.splits["train"].inputs.numpy()
    want = matrix @ (center - samples.mean(axis=0))
    assert_allclose(CenterLoss(problem, batch_size=4).gradient(), want, atol=1e-13)


def test_batch_norm_keeps_its_running_statistics():
    problem = norm_problem()
    loss = CenterLoss(problem, batch_size=4)
    v = vector(loss.size)
    product = loss.product(v)
    assert_allclose(product, dense_hessian(problem) @ v, rtol=0, atol=1e-12)
    problem.model.train()  # what batch statistics would give is another matrix
    assert np.linalg.norm(CenterLoss(problem, batch_size=4).product(v) - product) == 0
    for buffer in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(
            getattr(problem.model.norm, buffer), getattr(NormNet().double().norm, buffer)
        )


def test_fused_attention_has_a_hessian_product():
    torch.manual_seed(2)
    problem = problem_of(Attention().double(), draw(9, 5, 4, seed=1), labels(9, 3, seed=2))
    loss = CenterLoss(problem, batch_size=4)
    v = vector(loss.size)
    assert_allclose(loss.product(v), dense_hessian(problem) @ v, rtol=0, atol=1e-12)


def test_a_parameter_that_the_loss_does_not_use_has_no_curvature():
    problem = tanh_problem()
    problem.model.register_parameter("idle", nn.Parameter(draw(3)))
    loss = CenterLoss(problem, ["idle", "2.bias"])
    assert_allclose(loss.product(np.array([1.0, 1, 1, 0, 0, 0])), np.zeros(6), atol=0)
    assert_allclose(loss.gradient()[:3], 0, atol=0)


def test_a_linear_loss_has_no_curvature():
    model = nn.Linear(3, 1).double()
    outputs_alone = lambda outputs, targets: outputs[:, 0]  # noqa: E731
    problem = problem_of(model, draw(5, 3), torch.zeros(5), outputs_alone)
    assert_allclose(CenterLoss(problem).product(np.ones(4)), np.zeros(4), atol=0)


def test_the_callers_model_stays_as_it_is():
    problem = tanh_problem()
    problem.model[0].weight.requires_grad_(False)
    before = {n: p.detach().clone() for n, p in problem.model.state_dict().items()}
    loss = CenterLoss(problem)
    loss.product(loss.gradient())
    after = problem.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [p.requires_grad for p in problem.model.parameters()] == [False, True, True, True]
    assert all(p.grad is None for p in problem.model.parameters())


@pytest.mark.slow
def test_nothing_of_a_product_is_kept():
    loss = CenterLoss(tanh_problem(), batch_size=4)
    v = vector(loss.size)
    loss.product(v)
    before = count_tensors()
    for _ in range(3):
        loss.product(v)
    assert count_tensors() == before


def count_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def test_sums_over_batches_are_float64_for_a_float32_model():
    matrix = planted([1.0, 0.5])
    problem = quadratic_problem(matrix, count=2000, dtype=torch.float32)
    v = vector(2)
    product = CenterLoss(problem, batch_size=1).product(v)
    # 2,000 terms that were added in float32 would be off by 1e-5.
    assert_allclose(product, matrix @ v, rtol=3e-7)


def test_a_subset_of_samples_is_drawn_by_seed_and_kept_in_order():
    problem = tanh_problem(NUM_SAMPLES)
    first, again, other = (
        CenterLoss(problem, samples=20, seed=seed).gradient() for seed in (0, 0, 1)
    )
    whole = CenterLoss(problem, samples=NUM_SAMPLES).gradient()
    assert first.tobytes() == again.tobytes()
    assert np.linalg.norm(first - other) > 1e-3
    assert whole.tobytes() == CenterLoss(problem).gradient().tobytes()
    assert CenterLoss(problem, samples=20).num_samples == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["3.weight"]}, "found the parameter '3.weight', expected floating parameters"),
        ({"names": []}, "found no parameter to differentiate by"),
        ({"split": "test"}, "found no split 'test', expected train"),
        ({"samples": 46}, "found 46 samples for the curvature, expected 1 to 45"),
        ({"samples": 0}, "found 0 samples for the curvature"),
    ],
)
def test_what_does_not_exist_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        CenterLoss(tanh_problem(), **options)


def test_a_loss_without_a_derivative_is_refused():
    detached = lambda outputs, targets: outputs.detach().sum(dim=1)  # noqa: E731
    problem = problem_of(nn.Linear(2, 2).double(), draw(3, 2), labels(3, 2), detached)
    with pytest.raises(UserError, match="the loss has no derivative by weight"):
        CenterLoss(problem).gradient()


def test_a_model_that_changes_its_buffers_is_refused():
    class Counting(nn.Linear):
        def __init__(self):
            super().__init__(2, 1, dtype=torch.float64)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return super().forward(x)[:, 0]

    problem = problem_of(Counting(), draw(3, 2), torch.zeros(3), first_argument)
    with pytest.raises(UserError, match="changes the model's buffers"):
        CenterLoss(problem).gradient()
