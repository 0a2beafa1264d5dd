"""What is kept from point to point never moves."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from small_problems import draw, evaluator_of, labels, problem_of, random_directions, split_of
from torch import nn
from torch.nn.utils import parametrizations

from losscape_mpi.evaluation.network.fused_layer import FusedLayer
from losscape_mpi.evaluation.network.prefix import SplitModel

POINTS = [(0.0, 0.0), (0.4, -0.2), (-0.3, 0.7), (0.0, 0.0)]


class Encoder(nn.Module):
    """A module of torch.nn that holds others: one step of a trace."""

    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(4, 8)
        self.enc = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.enc(self.proj(x))).mean(dim=1)


class Tied(nn.Module):
    """The first layer has the weight of a later one, which gave it its name."""

    def __init__(self):
        super().__init__()
        self.late, self.early, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.early.weight = self.late.weight
        self.proj, self.middle = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        x = torch.relu(self.middle(self.early(self.proj(x))))
        return self.head(self.late(x)).mean(dim=1)


class Normed(nn.Module):
    """A weight that is computed from parameters of a module inside the layer."""

    def __init__(self):
        super().__init__()
        self.proj, self.head = nn.Linear(4, 4), nn.Linear(4, 3)
        self.middle = parametrizations.weight_norm(nn.Linear(4, 4, bias=False))

    def forward(self, x):
        return self.head(self.middle(self.proj(x))).mean(dim=1)


def rows_of(evaluator):
    return np.array(list(evaluator.evaluate_many(POINTS)))


def scene(kind, still):
    torch.manual_seed(0)
    problem = problem_of(kind(), train=split_of(draw(7, 5, 4), labels(7, 3)))
    directions = {
        axis: {name: t * (not name.startswith(still)) for name, t in direction.items()}
        for axis, direction in random_directions(problem.model).items()
    }
    return problem, directions


@pytest.mark.parametrize(
    ("kind", "still"),
    [(Encoder, ("proj",)), (Tied, ("proj", "early", "late.bias")), (Normed, ("proj",))],
)
def test_a_module_moves_if_anything_in_it_moves(kind, still):
    problem, directions = scene(kind, still)
    fused = rows_of(evaluator_of(problem, directions, fused=True, precision="float32"))
    plain = rows_of(evaluator_of(problem, directions, precision="float32"))
    assert_allclose(fused[:, 0], plain[:, 0], rtol=1e-5)
    assert plain[1, 0] != plain[0, 0]


@pytest.mark.parametrize("kind", [Encoder, Normed])
def test_what_does_not_move_is_kept(kind):
    problem, directions = scene(kind, ("proj", "enc", "middle"))
    evaluator = evaluator_of(problem, directions, fused=True, precision="float32")
    model = evaluator.passes.replicas[0].network._model
    assert isinstance(model, SplitModel)
    assert [type(m) for m in model.rest.children()] == [FusedLayer]
    plain = rows_of(evaluator_of(problem, directions, precision="float32"))
    assert_allclose(rows_of(evaluator)[:, 0], plain[:, 0], rtol=1e-5)


class Branch(nn.Module):
    """What the first layer gives is read by one that moves, then added to by one that does not."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner = (nn.Conv2d(3, 8, 3, padding=1) for _ in "ab")
        self.side, self.main, self.head = (nn.Conv2d(8, 8, 3, padding=1) for _ in "abc")

    def forward(self, x):
        a = torch.relu(self.stem(x))
        side = self.side(a)
        return (self.head(torch.relu(self.main(self.inner(x)) + a)) + side).mean(dim=(2, 3))


def test_a_layer_that_does_not_move_overwrites_nothing_that_a_moving_one_reads():
    torch.manual_seed(0)
    problem = problem_of(Branch(), train=split_of(draw(7, 3, 8, 8), labels(7, 8)))
    directions = {
        axis: {name: t * name.startswith(("side", "head")) for name, t in direction.items()}
        for axis, direction in random_directions(problem.model).items()
    }
    fused = evaluator_of(problem, directions, fused=True, precision="float32")
    assert isinstance(fused.passes.replicas[0].network._model, SplitModel)
    plain = rows_of(evaluator_of(problem, directions, precision="float32"))
    assert_allclose(rows_of(fused)[:, 0], plain[:, 0], rtol=1e-5)
