"""Decision regions of networks whose answer is known."""

import numpy as np
import pytest
import torch
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.regions import class_probabilities, is_planar, lattice
from losscape_mpi.problem.data.split import Split


def split_of(inputs, num_classes=2):
    targets = torch.zeros(len(inputs), dtype=torch.int64)
    return Split(
        torch.as_tensor(inputs, dtype=torch.float32), targets, "", len(inputs), num_classes
    )


def linear(weight, bias):
    model = nn.Linear(2, len(bias))
    with torch.no_grad():
        model.weight.copy_(torch.tensor(weight))
        model.bias.copy_(torch.tensor(bias))
    return model


def test_a_linear_classifier_has_half_planes():
    x, y = np.linspace(-1, 1, 7), np.linspace(-2, 0.5, 4)
    model = linear([[1.0, -2.0], [-0.5, 0.25]], [0.1, 0.3])
    got = class_probabilities(model, x, y)
    difference = (1.5 * x)[:, None] - (2.25 * y)[None, :] - 0.2  # first logit minus second
    assert got.shape == (7, 4, 2)
    np.testing.assert_array_equal(got.argmax(axis=2) == 0, difference > 0)
    np.testing.assert_allclose(got[:, :, 0], 1 / (1 + np.exp(-difference)), rtol=1e-5)


def test_many_points_are_answered_in_parts(monkeypatch):
    x, y = np.linspace(0, 1, 5), np.linspace(0, 1, 3)
    model = linear([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    whole = class_probabilities(model, x, y)
    monkeypatch.setattr("losscape_mpi.evaluation.regions.BATCH", 4)
    np.testing.assert_allclose(class_probabilities(model, x, y), whole, rtol=1e-6)


def test_a_network_in_double_precision_is_asked_in_it():
    x, y = np.linspace(-1, 1, 3), np.linspace(-1, 1, 2)
    got = class_probabilities(linear([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]).double(), x, y)
    assert np.isfinite(got).all()


def test_the_lattice_holds_every_sample_in_square_cells():
    points = np.array([[0.0, 5.0], [4.0, 6.0], [1.0, 7.0]])
    x, y = lattice(split_of(points), 50)
    (step,) = set(np.round(np.diff(np.concatenate([x, y - y[0] + x[-1] + x[1] - x[0]])), 9))
    for axis, k in ((x, 0), (y, 1)):
        assert len(axis) == 50
        assert axis[0] - step / 2 < points[:, k].min()
        assert axis[-1] + step / 2 > points[:, k].max()


@pytest.mark.parametrize(
    ("inputs", "num_classes", "found"),
    [(np.zeros((3, 1, 8, 8)), 10, r"\(1, 8, 8\)"), (np.zeros((3, 2)), None, "no labels")],
)
def test_other_data_is_refused_in_one_line(inputs, num_classes, found):
    split = split_of(inputs, num_classes)
    assert not is_planar(split)
    with pytest.raises(UserError, match=found) as told:
        lattice(split, 10)
    assert "\n" not in str(told.value)
