"""Which directions see through a rewriting of the network that keeps its function.

All scales are powers of two, so that a scaled float32 direction is exact and what should be equal
is equal to rounding of float64.
"""

import pytest
import torch
from torch.nn.functional import cross_entropy, relu

from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.study.plane_config import PlaneConfig

KINDS = {"adaptive", "qr", "zca", "svd"}
ALL = {"none", "dfilter", "dlayer", "layer", "filter", "weight", "adaptive"}
STEPS = (0.25, 0.5, 1.0)


def draws(*shapes):
    generator = torch.Generator().manual_seed(11)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]


INPUTS, W1, W2, W3, B1, B2 = draws((40, 6), (8, 6), (7, 8), (3, 7), (8,), (7,))
TARGETS = torch.arange(40) % 3
MLP = {"1.weight": W1 / 2, "1.bias": B1, "2.weight": W2 / 3, "2.bias": B2, "3.weight": W3 / 3}


def mlp_loss(p):
    hidden = relu(INPUTS @ p["1.weight"].T + p["1.bias"])
    hidden = relu(hidden @ p["2.weight"].T + p["2.bias"])
    return cross_entropy(hidden @ p["3.weight"].T, TARGETS)


def norm_loss(p, mean, variance):
    hidden = (INPUTS @ p["1.weight"].T - mean) / variance.sqrt()
    hidden = relu(hidden * p["norm.weight"] + p["norm.bias"])
    return cross_entropy(hidden @ p["2.weight"].T, TARGETS)


def config_of(rule):
    return PlaneConfig(kind=rule) if rule in KINDS else PlaneConfig(normalize=rule)


def profile(center, rule, loss, signs=None, axis="alpha"):
    direction = make_plane(config_of(rule), 2, center).directions[axis]
    moved = {name: tensor.double() for name, tensor in direction.items()}
    if signs is not None:
        moved["1.weight"] = moved["1.weight"] * signs[:, None]
    return torch.stack([loss({n: center[n] + step * moved[n] for n in center}) for step in STEPS])


def error(first, second):
    return ((first - second).abs().max() / first.abs().max()).item()


def assert_only(invariant, errors):
    for rule, found in errors.items():
        if rule in invariant:
            assert found < 1e-12, (rule, found)
        else:
            assert found > 1e-3, (rule, found)


def powers(*exponents):
    return 2.0 ** torch.tensor(exponents, dtype=torch.float64)


def test_scaling_layers_leaves_layer_filter_and_weight_directions():
    c = 8.0
    scaled = MLP | {
        "1.weight": c * MLP["1.weight"],
        "1.bias": c * MLP["1.bias"],
        "3.weight": MLP["3.weight"] / c,
        "2.bias": c * MLP["2.bias"],
    }
    assert error(mlp_loss(MLP), mlp_loss(scaled)) < 1e-14
    errors = {r: error(profile(MLP, r, mlp_loss), profile(scaled, r, mlp_loss)) for r in ALL}
    assert_only({"layer", "filter", "weight", "adaptive"}, errors)


def test_scaling_nodes_leaves_weight_directions_alone():
    nodes = powers(-3, 2, 0, 1, -1, 3, -2, 2)
    scaled = MLP | {
        "1.weight": nodes[:, None] * MLP["1.weight"],
        "1.bias": nodes * MLP["1.bias"],
        "2.weight": MLP["2.weight"] / nodes,
    }
    assert error(mlp_loss(MLP), mlp_loss(scaled)) < 1e-14
    errors = {r: error(profile(MLP, r, mlp_loss), profile(scaled, r, mlp_loss)) for r in ALL}
    assert_only({"weight", "adaptive"}, errors)


MEAN, VARIANCE = INPUTS.mean() + B1 / 4, powers(0, 2, -2, 0, 2, 4, 0, -2)
GAMMA = powers(0, 1, 0, -1, 2, 0, 1, -1) * torch.tensor([1.0, -1, 1, 1, -1, 1, 1, -1])
NORMED = {
    "1.weight": W1 / 2,
    "norm.weight": GAMMA.double(),
    "norm.bias": B1 / 3,
    "2.weight": draws((3, 8))[0],
}


def test_scaling_filters_before_a_norm_layer_leaves_filter_and_weight_directions():
    scales = powers(3, -2, 0, 1, 4, -1, 2, -3)
    scaled = NORMED | {"1.weight": scales[:, None] * NORMED["1.weight"]}

    def loss(p):
        return norm_loss(p, MEAN, VARIANCE)

    def loss_scaled(p):
        return norm_loss(p, MEAN * scales, VARIANCE * scales**2)

    assert error(loss(NORMED), loss_scaled(scaled)) < 1e-14
    errors = {r: error(profile(NORMED, r, loss), profile(scaled, r, loss_scaled)) for r in ALL}
    assert_only({"filter", "weight", "adaptive"}, errors)


def test_folding_a_norm_layer_leaves_filter_and_weight_directions_up_to_gammas_sign():
    factor = GAMMA.double() / VARIANCE.sqrt()
    folded = {
        "1.weight": factor[:, None] * NORMED["1.weight"],
        "1.bias": NORMED["norm.bias"] - MEAN * factor,
        "2.weight": NORMED["2.weight"],
    }

    def loss_folded(p):
        return cross_entropy(
            relu(INPUTS @ p["1.weight"].T + p["1.bias"]) @ p["2.weight"].T, TARGETS
        )

    def loss(p):
        return norm_loss(p, MEAN, VARIANCE)

    assert error(loss(NORMED), loss_folded(folded)) < 1e-14
    # A product of draw and weight carries gamma's sign by itself.
    signs = {rule: None if rule == "weight" else factor.sign() for rule in ALL}
    errors = {
        rule: error(profile(NORMED, rule, loss), profile(folded, rule, loss_folded, signs[rule]))
        for rule in ALL
    }
    assert_only({"filter", "weight", "adaptive"}, errors)


def test_no_direction_sees_through_a_general_linear_change_of_a_linear_pair():
    mix = torch.eye(8, dtype=torch.float64) + torch.diag(torch.full((7,), 2.0).double(), 1)
    pair = {"1.weight": W1 / 2, "2.weight": draws((3, 8))[0] / 3}
    mixed = {
        "1.weight": mix @ pair["1.weight"],
        "2.weight": pair["2.weight"] @ torch.linalg.inv(mix),
    }

    def loss(p):
        return cross_entropy(INPUTS @ p["1.weight"].T @ p["2.weight"].T, TARGETS)

    assert error(loss(pair), loss(mixed)) < 1e-12
    errors = {rule: error(profile(pair, rule, loss), profile(mixed, rule, loss)) for rule in ALL}
    assert_only(set(), errors)


def errors_of_kinds(center, changed, loss, loss_changed, axis):
    kinds = KINDS - {"adaptive"}
    return {
        kind: error(
            profile(center, kind, loss, axis=axis), profile(changed, kind, loss_changed, axis=axis)
        )
        for kind in kinds
    }


def test_scaling_layers_leaves_orthogonal_whitened_and_principal_directions():
    c = 8.0
    scaled = MLP | {
        "1.weight": c * MLP["1.weight"],
        "1.bias": c * MLP["1.bias"],
        "3.weight": MLP["3.weight"] / c,
        "2.bias": c * MLP["2.bias"],
    }
    for axis in ("alpha", "beta"):
        errors = errors_of_kinds(MLP, scaled, mlp_loss, mlp_loss, axis)
        for kind, found in errors.items():
            assert found < 1e-6, (kind, found)  # LAPACK's last bits, then float32


@pytest.mark.slow
def test_scaling_nodes_changes_orthogonal_whitened_and_principal_directions():
    nodes = powers(-3, 2, 0, 1, -1, 3, -2, 2)
    scaled = MLP | {
        "1.weight": nodes[:, None] * MLP["1.weight"],
        "1.bias": nodes * MLP["1.bias"],
        "2.weight": MLP["2.weight"] / nodes,
    }
    for axis in ("alpha", "beta"):
        assert_only(set(), errors_of_kinds(MLP, scaled, mlp_loss, mlp_loss, axis))


def test_scaling_filters_of_a_convolution_leaves_what_is_made_kernel_by_kernel():
    weight = draws((8, 6, 3, 3))[0]
    scales = powers(3, -2, 0, 1, 4, -1, 2, -3)[:, None, None, None]
    for kind in KINDS:
        here, there = (
            make_plane(config_of(kind), 2, {"conv.weight": w}).directions
            for w in (weight, scales * weight)
        )
        errors = {
            axis: error(scales * here[axis]["conv.weight"].double(), there[axis]["conv.weight"])
            for axis in ("alpha", "beta")
        }
        assert errors["alpha"] < 1e-6, kind
        # Whitening and the singular values of a whole O x I matrix see the lengths of its rows.
        assert (errors["beta"] < 1e-6) is (kind in ("adaptive", "qr")), kind


ORDER = torch.tensor([3, 0, 7, 5, 1, 6, 2, 4])
PERMUTED = MLP | {
    "1.weight": MLP["1.weight"][ORDER],
    "1.bias": MLP["1.bias"][ORDER],
    "2.weight": MLP["2.weight"][:, ORDER],
}


def test_permuting_nodes_leaves_a_direction_that_is_permuted_along():
    direction = make_plane(config_of("filter"), 1, MLP).directions["alpha"]
    moved = {n: MLP[n] + direction[n].double() for n in MLP}
    along = direction | {
        "1.weight": direction["1.weight"][ORDER],
        "2.weight": direction["2.weight"][:, ORDER],
    }
    moved_along = {n: PERMUTED[n] + along[n].double() for n in MLP}
    assert error(mlp_loss(moved), mlp_loss(moved_along)) < 1e-14


@pytest.mark.slow
def test_permuting_nodes_changes_what_is_drawn_and_not_what_is_made_of_the_weights():
    errors = errors_of_kinds(MLP, PERMUTED, mlp_loss, mlp_loss, "beta")
    for rule in ALL:
        errors[rule] = error(profile(MLP, rule, mlp_loss), profile(PERMUTED, rule, mlp_loss))
    for rule, found in errors.items():
        assert (found < 1e-6) is (rule in ("zca", "svd")), (rule, found)
