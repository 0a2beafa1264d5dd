"""Which directions see through a rewriting of the network that keeps its function.

All scales are powers of two, so that a scaled float32 direction is exact and what should be equal
is equal to rounding of float64.
"""

import torch
from torch.nn.functional import cross_entropy, relu

from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.study.plane_config import PlaneConfig

ALL = {"none", "dfilter", "dlayer", "layer", "filter", "weight"}
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


def profile(center, rule, loss, signs=None):
    direction = make_plane(PlaneConfig(normalize=rule), 1, center).directions["alpha"]
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
    assert_only({"layer", "filter", "weight"}, errors)


def test_scaling_nodes_leaves_weight_directions_alone():
    nodes = powers(-3, 2, 0, 1, -1, 3, -2, 2)
    scaled = MLP | {
        "1.weight": nodes[:, None] * MLP["1.weight"],
        "1.bias": nodes * MLP["1.bias"],
        "2.weight": MLP["2.weight"] / nodes,
    }
    assert error(mlp_loss(MLP), mlp_loss(scaled)) < 1e-14
    errors = {r: error(profile(MLP, r, mlp_loss), profile(scaled, r, mlp_loss)) for r in ALL}
    assert_only({"weight"}, errors)


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
    assert_only({"filter", "weight"}, errors)


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
    assert_only({"filter", "weight"}, errors)


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
