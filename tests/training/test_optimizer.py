"""SGD, Adam and SAM against their update rules written out in numpy."""

import numpy as np
import pytest
import torch
from small_recipes import gradient, recipe, start_of, trained
from torch import nn

from losscape_mpi.problem.zoo.registry import build
from losscape_mpi.training.optimizer import uphill

RATES = (0.5, 0.5, 0.05)  # one full-batch step in each of three epochs
SCHEDULE = {"milestones": [2], "factor": 0.1}


def assert_reaches(config, theta):
    model = trained(config).problem.model
    for name, want in zip(("linear.weight", "linear.bias"), theta, strict=True):
        np.testing.assert_allclose(model.get_parameter(name).detach(), want, atol=2e-6)


def descend(theta, slopes, momentum, nesterov, weight_decay):
    """SGD from gradients that are functions of the parameters."""
    speed = [np.zeros_like(part) for part in theta]
    for rate in RATES:
        slope = [g + weight_decay * part for g, part in zip(slopes(theta), theta, strict=True)]
        speed = [momentum * v + g for v, g in zip(speed, slope, strict=True)]
        step = [g + momentum * v if nesterov else v for g, v in zip(slope, speed, strict=True)]
        theta = [part - rate * s for part, s in zip(theta, step, strict=True)]
    return theta


@pytest.mark.parametrize(
    ("momentum", "nesterov", "weight_decay"),
    [(0.0, False, 0.0), (0.0, False, 0.1), (0.9, False, 0.0), (0.9, True, 0.1)],
)
def test_sgd_follows_its_rule(momentum, nesterov, weight_decay):
    settings = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
    config = recipe(**settings, schedule=SCHEDULE)
    points, labels, theta = start_of(config)

    want = descend(theta, lambda now: gradient(points, labels, *now), **settings)

    assert_reaches(config, want)


def test_sam_takes_the_gradient_a_step_of_length_rho_uphill():
    settings = {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}
    config = recipe(**settings, optimizer="sam", rho=0.8, schedule=SCHEDULE)
    points, labels, theta = start_of(config)

    def slopes(now):
        first = gradient(points, labels, *now)
        length = np.sqrt(sum((g**2).sum() for g in first))
        high = [part + 0.8 * g / length for part, g in zip(now, first, strict=True)]
        return gradient(points, labels, *high)

    want = descend(theta, slopes, **settings)

    assert_reaches(config, want)
    plain = descend(theta, lambda now: gradient(points, labels, *now), **settings)
    assert np.abs(want[0] - plain[0]).max() > 1e-3  # else the test could not fail


def test_adam_follows_its_rule_with_the_penalty_in_the_gradient():
    betas, decay = (0.8, 0.95), 0.1
    config = recipe(optimizer="adam", betas=betas, weight_decay=decay, schedule=SCHEDULE)
    points, labels, theta = start_of(config)
    mean, square = ([np.zeros_like(part) for part in theta] for _ in range(2))
    for k, rate in enumerate(RATES, start=1):
        slope = [
            g + decay * p for g, p in zip(gradient(points, labels, *theta), theta, strict=True)
        ]
        mean = [betas[0] * m + (1 - betas[0]) * g for m, g in zip(mean, slope, strict=True)]
        square = [betas[1] * v + (1 - betas[1]) * g**2 for v, g in zip(square, slope, strict=True)]
        for i in range(2):
            unbiased = mean[i] / (1 - betas[0] ** k), square[i] / (1 - betas[1] ** k)
            theta[i] = theta[i] - rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)

    assert_reaches(config, theta)


@pytest.fixture
def network():
    """A BatchNorm network in train mode, with gradients."""
    torch.manual_seed(0)
    network = build("digits_resnet", (1, 8, 8), 10).train()
    network(torch.randn(4, 1, 8, 8)).square().sum().backward()
    return network


def test_uphill_is_rho_away_and_leaves_every_bit_behind(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    weights = nn.utils.parameters_to_vector(network.parameters()).detach().clone()

    with uphill(network, 0.3):
        there = nn.utils.parameters_to_vector(network.parameters()).detach().clone()
        network(torch.randn(4, 1, 8, 8)).sum().backward()  # moves the running statistics

    assert (there - weights).norm().item() == pytest.approx(0.3, rel=1e-5)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_uphill_comes_back_when_the_step_fails(network):
    weights = nn.utils.parameters_to_vector(network.parameters()).detach().clone()

    with pytest.raises(ZeroDivisionError), uphill(network, 0.3):
        raise ZeroDivisionError

    assert torch.equal(nn.utils.parameters_to_vector(network.parameters()), weights)


def test_a_gradient_of_zero_leads_nowhere():
    layer = nn.Linear(2, 2)
    layer(torch.zeros(1, 2)).mul(0).sum().backward()

    with uphill(layer, 0.5):
        assert torch.isfinite(layer.weight).all()
