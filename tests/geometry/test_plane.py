import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.check import check_angle
from losscape_mpi.geometry.direction import direction_sha256
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.study.plane_config import PlaneConfig

# Pinned: directions are the same on every machine, so a surface can be continued elsewhere.
PINNED_SHA256 = {
    "alpha": "e9b449aa5437ae656d679f613a1b75ae4bb1ec865d01c17797a6b3fa1069100b",
    "beta": "0851ef3f6d15c73adce2cbb7c3778c8181224b95ea15a8d99bee31531ac0a14f",
}


def network(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(32, 300), nn.Linear(300, 7)
    ).to(dtype)


def center_of(model):
    return dict(model.named_parameters())


def plane_of(seed=0, num_axes=2, center=None, **values):
    center = center_of(network()) if center is None else center
    return make_plane(PlaneConfig(seed=seed, **values), num_axes, center)


def flat(direction):
    return torch.cat([tensor.double().flatten() for tensor in direction.values()])


def cosine(first, second):
    return (torch.dot(first, second) / (first.norm() * second.norm())).item()


def test_the_same_seed_gives_the_same_bits_whatever_was_drawn_before():
    first = plane_of()
    torch.manual_seed(99)
    torch.rand(1000)
    nn.Linear(50, 50)
    assert plane_of().record == first.record


def test_another_seed_is_another_plane():
    bound = 5 / math.sqrt(flat(plane_of().directions["alpha"]).numel())
    repeats = [flat(plane_of(seed, 1).directions["alpha"]) for seed in range(4)]
    for index, repeat in enumerate(repeats):
        for other in repeats[:index]:
            assert abs(cosine(repeat, other)) < bound


def test_draws_do_not_depend_on_the_initialization_or_the_order_of_tensors():
    kept = plane_of(normalize="none").directions["alpha"]
    other = plane_of(normalize="none", center=center_of(network(seed=5))).directions["alpha"]
    backwards = dict(reversed(center_of(network()).items()))
    turned = plane_of(normalize="none", center=backwards).directions["alpha"]
    for name, tensor in kept.items():
        assert torch.equal(tensor, other[name])
        assert torch.equal(tensor, turned[name])
    assert direction_sha256(kept) == direction_sha256(turned)


def test_draws_are_centered_and_not_along_the_diagonal():
    vector = flat(plane_of(normalize="none", ignore="none").directions["alpha"])
    bound = 1 / math.sqrt(vector.numel())
    assert abs(vector.mean()) < 4 * bound
    assert abs(cosine(vector, torch.ones_like(vector))) < 5 * bound


def test_directions_hold_parameters_only_in_float32():
    model = network(dtype=torch.float64)
    for direction in plane_of(center=center_of(model)).directions.values():
        assert list(direction) == [name for name, _ in model.named_parameters()]
        for name, tensor in direction.items():
            assert (tensor.dtype, tensor.shape) == (torch.float32, center_of(model)[name].shape)
            assert tensor.is_contiguous()
            assert not tensor.requires_grad


def test_the_record_holds_recipe_and_geometry():
    center = center_of(network())
    plane = plane_of(seed=3, center=center)
    alpha, beta = (flat(plane.directions[axis]) for axis in ("alpha", "beta"))
    theta = flat({name: tensor.detach() for name, tensor in center.items()})
    record = plane.record
    assert record == json.loads(json.dumps(record, allow_nan=False))
    recipe = [record[key] for key in ("algorithm", "kind", "normalize", "ignore", "seed")]
    assert recipe == [1, "random", "filter", "biasbn", 3]
    assert record["cosine"] == pytest.approx(cosine(alpha, beta), rel=1e-10)
    assert record["center_norm"] == pytest.approx(theta.norm().item(), rel=1e-12)
    for axis, vector in (("alpha", alpha), ("beta", beta)):
        assert record["norms"][axis] == pytest.approx(vector.norm().item(), rel=1e-12)
        expected = cosine(vector, theta)
        assert record["cosine_center"][axis] == pytest.approx(expected, rel=1e-9)
    both = torch.stack([alpha, beta])
    np.testing.assert_allclose(record["gram"], both @ both.T, rtol=1e-9)
    for name, tensor in plane.directions["beta"].items():
        expected = tensor.double().norm().item()
        assert record["tensor_norms"]["beta"][name] == pytest.approx(expected, rel=1e-12)
    assert record["zero_filters"] == {"alpha": 0, "beta": 0}
    assert set(record["sha256"]) == {"alpha", "beta"}
    recipe = {"kind": "random", "normalize": "filter", "ignore": "biasbn", "seed": 3}
    assert record["axes"] == {"alpha": recipe, "beta": recipe}


def test_a_step_of_one_is_as_long_as_the_weights():
    center = center_of(network())
    weights = [tensor.double().norm() ** 2 for tensor in center.values() if tensor.ndim > 1]
    expected = torch.stack(weights).sum().sqrt().item()
    assert plane_of(center=center).record["norms"]["alpha"] == pytest.approx(expected, rel=1e-7)


def test_a_profile_has_alpha_only_and_the_same_alpha_as_the_surface():
    line, surface = plane_of(num_axes=1), plane_of()
    assert list(line.directions) == ["alpha"]
    assert line.record["cosine"] is None
    assert line.record["sha256"]["alpha"] == surface.record["sha256"]["alpha"]
    assert np.shape(line.record["gram"]) == (1, 1)


def test_the_hash_of_a_plane_is_pinned():
    weight = (torch.arange(60, dtype=torch.float32) - 29.5).reshape(4, 3, 5) / 7
    plane = plane_of(center={"a.weight": weight, "a.bias": torch.ones(4)})
    assert plane.record["sha256"] == PINNED_SHA256


def test_the_hash_sees_every_bit_and_the_shape():
    direction = plane_of(num_axes=1).directions["alpha"]
    before = direction_sha256(direction)
    assert before == plane_of(num_axes=1).record["sha256"]["alpha"]
    name = next(iter(direction))
    reshaped = direction | {name: direction[name].reshape(-1)}
    nudged = direction | {name: direction[name].nextafter(torch.tensor(9.0))}
    renamed = {f"x{key}": tensor for key, tensor in direction.items()}
    hashes = {before, *map(direction_sha256, (reshaped, nudged, renamed))}
    assert len(hashes) == 4


def test_numbers_from_0_to_1_instead_of_gaussians_would_be_refused(monkeypatch):
    def uniform(seed, axis, name, shape):
        return np.random.default_rng([seed, len(axis), len(name)]).random(shape, dtype=np.float32)

    monkeypatch.setattr("losscape_mpi.geometry.families.random.gaussian", uniform)
    with pytest.raises(UserError, match=r"cosine 0\.7\d\d, expected at most 0\.5"):
        plane_of(normalize="none")


def test_one_draw_for_both_axes_would_be_refused(monkeypatch):
    def same(seed, axis, name, shape):
        return np.random.default_rng(len(name)).standard_normal(shape).astype(np.float32)

    monkeypatch.setattr("losscape_mpi.geometry.families.random.gaussian", same)
    with pytest.raises(UserError, match=r"cosine 1\.000, expected at most 0.5"):
        plane_of()


def test_weights_that_are_not_finite_are_refused():
    center = {"a.weight": torch.ones(3, 2), "b.bias": torch.tensor([1.0, math.nan])}
    with pytest.raises(UserError, match=r"trained parameter b.bias holds NaN or infinity"):
        plane_of(center=center)


def test_weights_too_large_for_a_float32_direction_are_refused():
    center = {"a.weight": torch.full((3, 2), 1e39, dtype=torch.float64)}
    with pytest.raises(UserError, match=r"direction alpha holds .* in a.weight"):
        plane_of(center=center)


@pytest.mark.parametrize("center", [{"a.weight": torch.zeros(3, 2)}, {"a.bias": torch.ones(3)}, {}])
def test_a_plane_without_extent_is_refused(center):
    with pytest.raises(UserError, match="direction alpha is 0 everywhere"):
        plane_of(center=center)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_weights_are_taken_at_their_value(dtype):
    half = {name: tensor.to(dtype) for name, tensor in center_of(network()).items()}
    exact = {name: tensor.double() for name, tensor in half.items()}
    assert plane_of(center=half).record == plane_of(center=exact).record


def test_each_axis_may_have_settings_of_its_own():
    own = {"kind": "svd"}
    plane = plane_of(beta=own, normalize="layer", seed=2)
    alpha, beta = plane_of(normalize="layer", seed=2), plane_of(kind="svd")
    assert plane.record["sha256"]["alpha"] == alpha.record["sha256"]["alpha"]
    assert plane.record["sha256"]["beta"] == beta.record["sha256"]["beta"]
    assert list(plane.directions) == ["alpha", "beta"]
    assert plane.record["kind"] == "mixed"
    assert plane.record["axes"]["alpha"]["normalize"] == "layer"
    assert plane.record["ignore"] == "biasbn"  # of both


def test_an_axis_that_the_grid_does_not_have_is_not_made():
    plane = plane_of(num_axes=1, alpha={"kind": "qr"}, beta={"kind": "file", "path": "none.h5"})
    assert list(plane.directions) == ["alpha"]
    assert plane.record["kind"] == "qr"


def test_random_kinds_that_are_skew_are_refused_and_others_are_warned_of(caplog):
    for kinds in (("random", "random"), ("qr", "random"), ("adaptive", "qr")):
        with pytest.raises(UserError, match=r"cosine 0.600, expected at most 0.5"):
            check_angle(0.6, dict(zip(("alpha", "beta"), kinds, strict=True)))
    for kinds in (("zca", "zca"), ("random", "svd"), ("target", "random"), ("pca", "gradient")):
        caplog.clear()
        check_angle(-0.6, dict(zip(("alpha", "beta"), kinds, strict=True)))
        assert "are skew: their cosine is -0.600" in caplog.text
    check_angle(0.5, {"alpha": "random", "beta": "random"})
    check_angle(None, {"alpha": "random"})


def test_parallel_axes_are_refused_whatever_their_kind():
    with pytest.raises(UserError, match=r"\(target and svd\) have cosine -0.995000, which is a li"):
        check_angle(-0.995, {"alpha": "target", "beta": "svd"})


def test_filters_of_one_number_are_named_where_they_make_directions_parallel():
    center = {"0.weight": torch.tensor([[2.0], [0.1], [-0.1]])}
    with pytest.raises(UserError, match="100% of them lies in filters of a single number"):
        plane_of(center=center)
    plane_of(center={"0.weight": torch.ones(64, 1)}, normalize="layer", seed=1)
    with pytest.raises(UserError, match=r"choose another plane\.seed"):
        check_angle(0.6, {"alpha": "random", "beta": "random"}, 0.2)
