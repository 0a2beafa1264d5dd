"""Gradients that are hidden from autograd are found by a difference of the loss."""

import numpy as np
import pytest
import torch
from small_problems import conv_problem, draw, labels, problem_of, split_of
from torch import nn

from losscape_mpi.curvature.extremes import extreme_eigenpairs, gradient_direction
from losscape_mpi.curvature.finite_difference import check_gradient
from losscape_mpi.errors import UserError


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)
        with torch.no_grad():
            for k, parameter in enumerate(self.parameters()):
                parameter.copy_(0.4 * draw(*parameter.shape, seed=k))

    def hidden(self, x):
        return torch.tanh(self.a(x))

    def forward(self, x):
        return self.b(self.hidden(x))


class Detached(Layers):
    def hidden(self, x):
        return torch.tanh(self.a(x)).detach()


class HalfDetached(Layers):
    def hidden(self, x):
        found = torch.tanh(self.a(x))
        return torch.cat([found[:, :6], found[:, 6:].detach()], dim=1)


class StraightThrough(Layers):
    """Rounds, and hands a gradient on as if it did not."""

    def hidden(self, x):
        found = torch.tanh(self.a(x))
        return found + (found.round() - found).detach()


class Single(Layers):
    """Rounds to float32 on its way, as norm layers of language models do."""

    def hidden(self, x):
        return torch.tanh(self.a(x).float().to(x.dtype))


def problem(kind):
    return problem_of(kind(), train=split_of(draw(20, 6, seed=9), labels(20, 3, seed=8)))


NAMES = ["a.weight", "a.bias", "b.weight", "b.bias"]


@pytest.mark.parametrize("kind", [Layers, Single])
def test_a_gradient_that_is_the_derivative_passes(kind):
    check_gradient(problem(kind), NAMES)


def test_a_convolutional_network_passes():
    convolution = conv_problem()
    check_gradient(convolution, [name for name, _ in convolution.model.named_parameters()])


@pytest.mark.parametrize("kind", [Detached, HalfDetached, StraightThrough])
def test_a_part_that_is_hidden_from_autograd_is_refused_by_name(kind):
    with pytest.raises(UserError, match=r"not the derivative of the loss.*\(parameter a\."):
        check_gradient(problem(kind), NAMES)


def test_what_does_not_move_may_be_detached():
    check_gradient(problem(Detached), ["b.weight", "b.bias"])


def test_planes_of_gradient_and_eigenvectors_ask_for_it():
    hidden = problem(HalfDetached)
    with pytest.raises(UserError, match="not the derivative"):
        gradient_direction(hidden)
    with pytest.raises(UserError, match="not the derivative"):
        extreme_eigenpairs(hidden)


def test_the_problem_stays_as_it_is():
    given = problem(Layers)
    before = [p.detach().numpy().copy() for p in given.model.parameters()]
    check_gradient(given, NAMES)
    after = [p.detach().numpy() for p in given.model.parameters()]
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))
