import numpy as np
import pytest
import torch

from losscape_mpi.geometry.gaussian import gaussian
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.study.plane_config import PlaneConfig

SHAPES = {"conv.weight": (4, 3, 5, 2), "linear.weight": (6, 5), "linear.bias": (6,)}


def center():
    rng = np.random.default_rng(2)
    return {n: torch.from_numpy(rng.standard_normal(s)) for n, s in SHAPES.items()}


@pytest.mark.parametrize("axis", ["alpha", "beta"])
def test_each_entry_is_a_gaussian_times_the_size_of_its_weight(axis):
    weights = center()
    weights["conv.weight"][1] = 0
    plane = make_plane(PlaneConfig(kind="adaptive", seed=5, ignore="none"), 2, weights)
    for name, weight in weights.items():
        expected = gaussian(5, axis, name, weight.shape) * np.abs(weight.numpy())
        np.testing.assert_allclose(plane.directions[axis][name].numpy(), expected, rtol=1e-7)
    assert plane.record["zero_filters"][axis] == 1


def test_vectors_stay_by_default():
    direction = make_plane(PlaneConfig(kind="adaptive"), 1, center()).directions["alpha"]
    assert not direction["linear.bias"].any()


def test_its_length_is_that_of_the_weights_on_average():
    weights = {"w": torch.from_numpy(np.random.default_rng(0).standard_normal((300, 200)))}
    norm = make_plane(PlaneConfig(kind="adaptive"), 1, weights).record["norms"]["alpha"]
    assert norm == pytest.approx(weights["w"].norm().item(), rel=0.02)


def test_its_draws_are_those_of_weight_normalisation_but_for_the_sign():
    weights = center()
    first = make_plane(PlaneConfig(kind="adaptive"), 1, weights).directions["alpha"]
    second = make_plane(PlaneConfig(normalize="weight"), 1, weights).directions["alpha"]
    for name, weight in weights.items():
        assert torch.equal(first[name], second[name] * weight.sign().float())
