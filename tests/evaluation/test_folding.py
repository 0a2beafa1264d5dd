"""How often a batch norm is folded: once where it stays, else at every point."""

import pytest
import torch
from small_problems import ConvNet, draw

from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.network.network import Network


@pytest.mark.parametrize(
    ("moves", "wanted"), [("conv.weight", 1), ("norm.weight", 3), ("norm.bias", 3)]
)
def test_the_scale_of_a_norm_that_does_not_move_is_computed_once(monkeypatch, moves, wanted):
    model, roots = ConvNet().eval(), []
    directions = {"alpha": {moves: torch.ones_like(model.get_parameter(moves))}}
    network = Network(model, directions, Choices(4, "contiguous", fused=True), torch.device("cpu"))
    root = torch.sqrt
    monkeypatch.setattr(torch, "sqrt", lambda tensor: roots.append(1) or root(tensor))

    for alpha in (0.0, 0.5, -0.25):
        network.move([(alpha,)])

    assert len(roots) == wanted
    network.outputs(draw(2, 3, 6, 5))
