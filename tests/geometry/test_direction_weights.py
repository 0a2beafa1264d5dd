"""Kinds qr, zca and svd: blocks that are orthogonal, whitened, or of rank 1."""

import logging

import numpy as np
import pytest
import torch

from losscape_mpi.geometry.families.qr import orthogonal_factor
from losscape_mpi.geometry.families.svd import principal_part
from losscape_mpi.geometry.families.zca import whitened
from losscape_mpi.geometry.gaussian import gaussian
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.geometry.role import Role
from losscape_mpi.study.plane_config import PlaneConfig

KINDS = ["qr", "zca", "svd"]
TRANSPOSED = frozenset({"up.weight"})
ROLES = {"up.weight": Role(axis=1)}
POINTWISE = ["embedding.weight", "linear.weight", "mix.weight"]
MATRICES = ("conv.weight", "wide.weight", "up.weight", *POINTWISE)


def numbers(*shape):
    return np.random.default_rng([3, *shape]).standard_normal(shape)


def center():
    """Tensors whose axes all differ, of both aspects."""
    shapes = {
        "conv.weight": (7, 4, 3, 3),
        "wide.weight": (3, 5, 2, 4),
        "up.weight": (3, 6, 2, 5),
        "mix.weight": (4, 6, 1, 1),
        "linear.weight": (6, 5),
        "embedding.weight": (4, 9),
        "conv.bias": (7,),
        "norm.weight": (7,),
    }
    return {name: torch.from_numpy(0.3 * numbers(*shape)) for name, shape in shapes.items()}


def plane_of(kind, weights=None, seed=0, **values):
    weights = center() if weights is None else weights
    return make_plane(PlaneConfig(kind=kind, seed=seed, **values), 2, weights, roles=ROLES)


def filters(tensor, name):
    return np.moveaxis(np.asarray(tensor, dtype=np.float64), int(name in TRANSPOSED), 0)


def rows(tensor, name):
    moved = filters(tensor, name)
    return moved.reshape(len(moved), -1)


def inverse_root(matrix):
    """numpy's own S^(-1/2), of the part of S that is not 0."""
    values, vectors = np.linalg.eigh(matrix)
    good = values > 1e-10 * values.max()
    return (vectors[:, good] / np.sqrt(values[good])) @ vectors[:, good].T


def zca_by_covariance(matrix):
    centered = matrix - matrix.mean()
    return centered @ inverse_root(centered.T @ centered / matrix.shape[1])


def rank_one(matrix):
    u, s, vt = np.linalg.svd(matrix - matrix.mean())
    return s[0] * np.outer(u[:, 0], vt[0])


def householder_qr(matrix):
    if len(matrix) < matrix.shape[1]:
        return householder_qr(matrix.T).T
    q, r = np.linalg.qr(matrix)
    return q * np.sign(np.diag(r))


RULES = {"qr": householder_qr, "zca": zca_by_covariance, "svd": rank_one}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axis", ["alpha", "beta"])
def test_each_filter_is_as_long_as_the_weights_filter_and_vectors_stay(kind, axis):
    weights = center()
    direction = plane_of(kind, weights).directions[axis]
    for name in MATRICES:
        found = np.linalg.norm(rows(direction[name], name), axis=1)
        expected = np.linalg.norm(rows(weights[name], name), axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert not direction["conv.bias"].any()
    assert not direction["norm.weight"].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["conv.weight", "wide.weight", "up.weight"])
def test_alpha_applies_the_rule_to_each_kernel(kind, name):
    weights = center()
    drawn = gaussian(0, "alpha", name, weights[name].shape)
    source = filters(drawn if kind == "qr" else weights[name], name)
    raw = np.array([[RULES[kind](kernel) for kernel in row] for row in source])
    assert_same_up_to_filter_length(plane_of(kind).directions["alpha"][name], raw, name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["conv.weight", "wide.weight", "up.weight", "mix.weight"])
def test_beta_applies_the_rule_to_the_matrix_of_each_position(kind, name):
    weights = center()
    drawn = gaussian(0, "beta", name, weights[name].shape)
    source = filters(drawn if kind == "qr" else weights[name], name)
    raw = np.empty(source.shape)
    for h in range(source.shape[2]):
        for w in range(source.shape[3]):
            raw[:, :, h, w] = RULES[kind](source[:, :, h, w].astype(np.float64))
    assert_same_up_to_filter_length(plane_of(kind).directions["beta"][name], raw, name)


def assert_same_up_to_filter_length(tensor, raw, name):
    found, raw = rows(tensor, name), raw.reshape(len(raw), -1)
    found = found / np.linalg.norm(found, axis=1, keepdims=True)
    raw = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(found, raw, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_record_lists_the_tensors_whose_kernels_are_single_numbers(kind):
    axes = plane_of(kind).record["axes"]
    assert axes["alpha"]["pointwise"] == POINTWISE
    assert axes["beta"]["pointwise"] == []


@pytest.mark.parametrize("kind", ["zca", "svd"])
def test_alpha_of_single_numbers_is_the_filter_normalised_gaussian(kind):
    gaussians = plane_of("random", seed=4).directions["alpha"]
    for name in POINTWISE:
        found = plane_of(kind, seed=4).directions["alpha"][name]
        torch.testing.assert_close(found, gaussians[name], rtol=1e-6, atol=0)


def test_qr_of_single_numbers_is_an_orthogonal_matrix_on_both_axes_with_its_own_draw():
    directions = plane_of("qr").directions
    for name in POINTWISE:
        alpha, beta = (rows(directions[axis][name], name) for axis in ("alpha", "beta"))
        assert abs((alpha * beta).sum()) < 0.9 * (alpha * alpha).sum()
        weights = rows(center()[name], name)
        unit = alpha / np.linalg.norm(weights, axis=1, keepdims=True)
        if len(unit) <= unit.shape[1]:  # wide: orthonormal rows, which keep their angles
            np.testing.assert_allclose(unit @ unit.T, np.eye(len(unit)), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_neither_order_of_tensors_nor_earlier_draws_enter(kind):
    first = plane_of(kind).record["sha256"]
    torch.manual_seed(7)
    np.random.default_rng(7).random(10)
    assert plane_of(kind, dict(reversed(center().items()))).record["sha256"] == first


def test_another_seed_is_another_qr_plane_and_the_same_svd_plane_but_for_single_numbers():
    assert plane_of("qr", seed=1).record["sha256"] != plane_of("qr").record["sha256"]
    for axis in ("alpha", "beta"):
        here, there = (plane_of("svd", seed=seed).directions[axis] for seed in (0, 1))
        for name in MATRICES:
            is_drawn = axis == "alpha" and name in POINTWISE
            assert torch.equal(here[name], there[name]) is not is_drawn


def test_whitening_is_the_inverse_root_of_the_covariance():
    for shape in ((50, 3, 3), (5, 9, 4), (4, 6, 6)):
        matrices = numbers(*shape)
        expected = np.array([a @ inverse_root(a.T @ a / shape[2]) for a in matrices])
        np.testing.assert_allclose(whitened(matrices), expected, atol=1e-10)


def test_whitened_matrices_have_unit_covariance():
    found = whitened(numbers(20, 8, 5))
    covariance = found.swapaxes(1, 2) @ found / 5
    np.testing.assert_allclose(covariance, np.broadcast_to(np.eye(5), (20, 5, 5)), atol=1e-13)


def test_whitening_keeps_what_a_singular_matrix_does_not_have_at_zero():
    matrix = numbers(1, 6, 2) @ numbers(1, 2, 7)  # rank 2
    found = whitened(matrix)
    singular = np.linalg.svd(found[0], compute_uv=False) / np.sqrt(7)
    np.testing.assert_allclose(singular, [1, 1, 0, 0, 0, 0], atol=1e-9)
    expected = matrix[0] @ inverse_root(matrix[0].T @ matrix[0] / 7)
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_the_shortcut_of_the_notebooks_is_no_whitening():
    a = numbers(1, 30, 30)[0]
    values, vectors = np.linalg.eigh(a.T @ a / 30)
    faulty = a @ (vectors @ (1 / (np.sqrt(np.diag(values)) + 1e-5)) @ vectors.T)
    true = whitened(a[None])[0]
    cosine = (faulty * true).sum() / (np.linalg.norm(faulty) * np.linalg.norm(true))
    assert abs(cosine) < 0.1


def test_the_q_factor_is_orthogonal_and_its_r_has_a_positive_diagonal():
    for rows_, columns in ((3, 3), (7, 4), (4, 7), (5, 1), (1, 5)):
        drawn = numbers(6, rows_, columns)
        q = orthogonal_factor(drawn)
        tall, source = (q, drawn) if rows_ >= columns else (q.swapaxes(1, 2), drawn.swapaxes(1, 2))
        for one, matrix in zip(tall, source, strict=True):
            np.testing.assert_allclose(one.T @ one, np.eye(one.shape[1]), atol=1e-13)
            r = one.T @ matrix
            np.testing.assert_allclose(np.tril(r, -1), 0, atol=1e-12)
            assert (np.diag(r) > 0).all()


def test_the_q_factor_has_no_preferred_sign():
    drawn = gaussian(0, "alpha", "w", (20_000, 3, 3)).astype(np.float64)
    bound = 5 / np.sqrt(len(drawn))  # entries of a random orthogonal matrix: variance 1/3
    mean = orthogonal_factor(drawn).mean(axis=0)
    assert np.abs(mean).max() < bound / np.sqrt(3)
    plain = np.linalg.qr(drawn[:100])[0]
    assert (plain[:, 0, 0] < 0).all()  # what LAPACK gives without the rule


def test_the_principal_part_is_the_best_approximation_of_rank_one():
    matrices = numbers(10, 4, 6)
    found = principal_part(matrices)
    s = np.linalg.svd(matrices, compute_uv=False)
    assert (np.linalg.matrix_rank(found, tol=1e-10) == 1).all()
    rest = np.linalg.norm(matrices - found, axis=(1, 2))
    np.testing.assert_allclose(rest, np.sqrt((s[:, 1:] ** 2).sum(axis=1)), rtol=1e-12)


# Of one Gaussian 96x96x3x3 tensor: (alpha with W, beta with W, alpha with beta).
EXPECTED = {"svd": (0.82, 0.20, 0.16), "zca": (0.76, 0.85, 0.65), "qr": (0.0, 0.0, 0.0)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_directions_of_the_weights_are_parallel_to_them(kind, caplog):
    weights = {"w": torch.from_numpy(gaussian(5, "alpha", "source", (96, 96, 3, 3)))}
    with caplog.at_level(logging.WARNING):
        record = plane_of(kind, weights).record
    found = [*record["cosine_center"].values(), record["cosine"]]
    np.testing.assert_allclose(found, EXPECTED[kind], atol=0.01)
    assert ("skew" in caplog.text) is (kind == "zca")  # warned of, not refused


@pytest.mark.parametrize("kind", KINDS)
def test_a_dead_filter_stays_and_is_counted(kind):
    weights = center()
    weights["conv.weight"][2] = 0
    weights["up.weight"][:, 1] = 0
    plane = plane_of(kind, weights)
    for direction in plane.directions.values():
        assert not direction["conv.weight"][2].any()
        assert not direction["up.weight"][:, 1].any()
        assert all(tensor.isfinite().all() for tensor in direction.values())
    assert plane.record["zero_filters"] == {"alpha": 2, "beta": 2}


@pytest.mark.parametrize("kind", ["zca", "svd"])
def test_kernels_of_equal_numbers_have_no_direction_instead_of_rounding(kind):
    weights = center()
    weights["conv.weight"][1] = 0.1  # its mean leaves 0, or 1e-17 by rounding
    plane = plane_of(kind, weights)
    assert not plane.directions["alpha"]["conv.weight"][1].any()
    assert plane.record["zero_filters"]["alpha"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_nearly_dead_filter_keeps_its_length(kind):
    weights = center()
    weights["conv.weight"][3] *= 1e-18
    alpha = plane_of(kind, weights).directions["alpha"]["conv.weight"][3]
    expected = weights["conv.weight"][3].norm().item()
    assert alpha.double().norm().item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_of_zeros_stays(kind):
    weights = center() | {"wide.weight": torch.zeros(3, 5, 2, 4)}
    for direction in plane_of(kind, weights).directions.values():
        assert not direction["wide.weight"].any()
