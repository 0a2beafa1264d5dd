"""The measure `weights`: norms of the parameters at a place."""

import numpy as np
import torch
from torch import nn

from losscape_mpi.measure.place import Setting
from losscape_mpi.measure.weights import make
from losscape_mpi.problem.build import Problem


def test_norms_are_those_of_all_parameters_and_of_each_layer():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    problem = Problem(model, None, {}, {})
    measure = make(problem, {})
    row = measure.bind(problem, Setting(torch.device("cpu")))(model)
    columns = measure.columns(["train", "test"])
    found = dict(zip((c.name for c in columns), row, strict=True))
    flat = np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])
    first = np.concatenate([p.detach().numpy().ravel() for p in model[0].parameters()])
    assert list(found) == ["network/weight_norm", *(f"network/weight_norm:{k}" for k in "012")]
    np.testing.assert_allclose(found["network/weight_norm"], np.linalg.norm(flat), rtol=1e-14)
    np.testing.assert_allclose(found["network/weight_norm:0"], np.linalg.norm(first), rtol=1e-14)
    assert {c.role for c in columns[1:]} == {"part"}
    assert {c.of for c in columns[1:]} == {"network/weight_norm"}


def test_a_model_that_moves_is_measured_where_it_is():
    model = nn.Linear(2, 2, bias=False).double()
    problem = Problem(model, None, {}, {})
    row = make(problem, {}).bind(problem, Setting(torch.device("cpu")))
    with torch.no_grad():
        model.weight.fill_(2.0)
    assert row(model).tolist() == [4.0, 4.0]
