import math

import numpy as np
import pytest
import torch

from losscape_mpi.geometry.gaussian import gaussian
from losscape_mpi.geometry.normalize import dot, normalize, row_sums
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.geometry.role import Role
from losscape_mpi.study.plane_config import PlaneConfig

RULES = ["filter", "layer", "weight", "dfilter", "dlayer", "none"]
TRANSPOSED = frozenset({"up.weight"})
ROLES = {"up.weight": Role(axis=1)}


@pytest.fixture(scope="module")
def center():
    """Tensors whose axes all differ, two filters of them 0, and a parameter that is no number."""
    generator = torch.Generator().manual_seed(5)

    def normal(*shape):
        return torch.randn(*shape, generator=generator) * 0.3

    center = {
        "conv.weight": normal(4, 3, 5, 2),
        "conv.bias": normal(4),
        "linear.weight": normal(6, 5),
        "embedding.weight": normal(9, 4),
        "up.weight": normal(3, 8, 2, 5),
        "norm.weight": 1 + normal(7),
        "scale": normal(1).squeeze(),
        "steps": torch.arange(3),
    }
    center["conv.weight"][2] = 0
    center["up.weight"][:, 1] = 0
    return center


def plane_of(center, **values):
    return make_plane(PlaneConfig(**values), 2, center, roles=ROLES)


def filters(tensor, name):
    """Rows of (filters, entries), by torch's own means."""
    return tensor.double().transpose(0, int(name in TRANSPOSED)).flatten(1)


@pytest.mark.parametrize("axis", ["alpha", "beta"])
def test_each_filter_is_as_long_as_the_weights_filter(center, axis):
    direction = plane_of(center).directions[axis]
    for name in ("conv.weight", "linear.weight", "embedding.weight", "up.weight"):
        found = filters(direction[name], name).norm(dim=1)
        torch.testing.assert_close(
            found, filters(center[name], name).norm(dim=1), rtol=1e-6, atol=0
        )


def test_the_wrong_axis_of_a_transposed_convolution_would_be_seen(center):
    direction = make_plane(PlaneConfig(), 1, center).directions["alpha"]["up.weight"]
    found = filters(direction, "up.weight").norm(dim=1)
    expected = filters(center["up.weight"], "up.weight").norm(dim=1)
    assert (found - expected).abs().max() > 0.05


@pytest.mark.parametrize("rule", RULES)
def test_biases_and_norm_layers_stay_where_they_are_by_default(center, rule):
    for direction in plane_of(center, normalize=rule).directions.values():
        for name in ("conv.bias", "norm.weight", "scale"):
            assert direction[name].shape == center[name].shape
            assert not direction[name].any()
        assert "steps" not in direction


def test_with_ignore_none_vectors_are_one_gaussian_filter_and_no_copy(center):
    directions = plane_of(center, ignore="none").directions
    for name in ("conv.bias", "norm.weight", "scale"):
        alpha, beta = (directions[axis][name].double() for axis in ("alpha", "beta"))
        weight = center[name].double()
        for vector in (alpha, beta):
            assert vector.norm().item() == pytest.approx(weight.norm().item(), rel=1e-6)
        if weight.numel() > 1:
            assert abs(torch.dot(alpha, beta) / weight.norm() ** 2) < 0.99
            assert abs(torch.dot(alpha, weight) / weight.norm() ** 2) < 0.99


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["conv.weight", "linear.weight", "embedding.weight", "up.weight"])
def test_each_rule_is_its_formula(center, rule, name):
    weight = filters(center[name], name).numpy()
    draw = torch.from_numpy(gaussian(0, "alpha", name, tuple(center[name].shape)))
    g = filters(draw, name).numpy().copy()
    g[np.linalg.norm(weight, axis=1) == 0] = 0
    g_norm = np.linalg.norm(g, axis=1, keepdims=True) + 1e-10
    expected = {
        "filter": g * np.linalg.norm(weight, axis=1, keepdims=True) / g_norm,
        "layer": g * np.linalg.norm(weight) / np.linalg.norm(g),
        "weight": g * weight,
        "dfilter": g / g_norm,
        "dlayer": g / np.linalg.norm(g),
        "none": g,
    }[rule]
    direction = plane_of(center, normalize=rule).directions["alpha"][name]
    np.testing.assert_allclose(filters(direction, name).numpy(), expected, rtol=2e-7)


@pytest.mark.parametrize("rule", RULES)
def test_zero_filters_give_zeros_under_every_rule_and_are_counted(center, rule):
    plane = plane_of(center, normalize=rule)
    for direction in plane.directions.values():
        assert not direction["conv.weight"][2].any()
        assert not direction["up.weight"][:, 1].any()
        assert direction["conv.weight"][[0, 1, 3]].all()
        assert all(tensor.isfinite().all() for tensor in direction.values())
    assert plane.record["zero_filters"] == {"alpha": 2, "beta": 2}


def test_zero_vectors_are_counted_where_they_take_part(center):
    quiet = center | {"conv.bias": torch.zeros(4)}
    assert plane_of(quiet).record["zero_filters"]["alpha"] == 2
    assert plane_of(quiet, ignore="none").record["zero_filters"]["alpha"] == 3


def test_a_layer_of_zeros_stays(center):
    dead = center | {"linear.weight": torch.zeros(6, 5)}
    for rule in RULES:
        direction = plane_of(dead, normalize=rule).directions["alpha"]
        assert not direction["linear.weight"].any()


def test_normalizing_again_changes_nothing():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((5, 40))
    for rule in ("filter", "layer", "dfilter", "dlayer"):
        once = normalize(rng.standard_normal((5, 40)), weight, rule)
        np.testing.assert_allclose(normalize(once, weight, rule), once, rtol=1e-9)


def test_the_callers_tensors_are_not_changed(center):
    doubles = {name: t.double() for name, t in center.items() if t.is_floating_point()}
    before = {name: tensor.clone() for name, tensor in doubles.items()}
    plane_of(doubles, ignore="none")
    assert all(torch.equal(doubles[name], before[name]) for name in doubles)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (4, 64), (2, 1001), (3, 0), (0, 3)])
def test_sums_are_those_of_exact_arithmetic(shape):
    values = np.random.default_rng(1).standard_normal(shape) * 1e3
    expected = [[math.fsum(row)] for row in values]
    found = row_sums(values)
    assert found.shape == (shape[0], 1)
    np.testing.assert_allclose(found, np.reshape(expected, found.shape), rtol=1e-13, atol=1e-9)


def test_a_norm_is_summed_in_float64():
    large, num_small = 2.0**24, 1001  # float32 stops counting at 2^24
    values = np.concatenate([np.array([large]), np.ones(num_small)])
    assert dot(values, np.ones(num_small + 1)) == large + num_small
