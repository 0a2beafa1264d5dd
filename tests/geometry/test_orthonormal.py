"""One plane under several coordinates: the same points, the same losses."""

import math

import numpy as np
import pytest
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.measure import measure_directions
from losscape_mpi.geometry.orthonormal import change_axes, coordinates
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.study.plane_config import PlaneConfig

VIEWS = ["qr", "lowdin", "svd"]
SHAPES = {"1.weight": (5, 3), "1.bias": (5,), "2.weight": (2, 5)}
ALPHA, BETA = np.linspace(-1, 1, 3), np.linspace(-0.5, 1, 5)


def tensors(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return {n: torch.from_numpy(scale * rng.standard_normal(s)) for n, s in SHAPES.items()}


CENTER, INPUTS = tensors(0), torch.from_numpy(np.random.default_rng(9).standard_normal((7, 3)))


def skew_axes(cosine=0.9, scale=100.0):
    first, other = tensors(1, scale), tensors(2, scale)
    return {
        "alpha": first,
        "beta": {n: cosine * first[n] + (1 - cosine) * other[n] for n in SHAPES},
    }


def loss(parameters):
    hidden = torch.tanh(INPUTS @ parameters["1.weight"].T + parameters["1.bias"])
    return (hidden @ parameters["2.weight"].T).square().mean().item()


def flat(direction):
    return torch.cat([tensor.double().flatten() for tensor in direction.values()]).numpy()


def matrix_of(directions):
    return np.stack([flat(direction) for direction in directions.values()], axis=1)  # (N, 2)


def gram_of(directions):
    return matrix_of(directions).T @ matrix_of(directions)


def surface(directions, points):
    """Losses at points (count, 2) of a plane."""
    axes = list(directions.values())
    return [
        loss(
            {
                n: CENTER[n] + sum(x * axis[n] for x, axis in zip(p, axes, strict=True))
                for n in SHAPES
            }
        )
        for p in points.tolist()
    ]


POINTS = np.array([(a, b) for a in ALPHA for b in BETA]) / 100


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_is_the_same_plane_with_the_same_losses(view):
    skew = skew_axes()
    r = coordinates(gram_of(skew), view)
    orthonormal = change_axes(skew, r)
    np.testing.assert_allclose(gram_of(orthonormal), np.eye(2), atol=1e-12)
    np.testing.assert_allclose(matrix_of(orthonormal) @ r, matrix_of(skew), rtol=1e-10, atol=1e-10)
    moved = surface(orthonormal, POINTS @ r.T)
    np.testing.assert_allclose(moved, surface(skew, POINTS), rtol=1e-10)


def test_the_views_are_qr_polar_and_singular_value_factors():
    skew = skew_axes()
    a = matrix_of(skew)
    _, s, vt = np.linalg.svd(a, full_matrices=False)
    q, r = np.linalg.qr(a)
    signs = np.sign(np.diag(r))
    gram = gram_of(skew)
    np.testing.assert_allclose(coordinates(gram, "qr"), signs[:, None] * r, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(coordinates(gram, "lowdin"), vt.T @ np.diag(s) @ vt, rtol=1e-9)
    np.testing.assert_allclose(np.abs(coordinates(gram, "svd")), np.abs(s[:, None] * vt), rtol=1e-9)
    np.testing.assert_allclose(
        matrix_of(change_axes(skew, coordinates(gram))), q * signs, atol=1e-12
    )


def test_the_views_of_a_wrong_matrix_would_be_seen():
    skew = skew_axes()
    r = coordinates(gram_of(skew), "qr")
    moved = surface(change_axes(skew, r), POINTS @ r)  # not transposed
    assert not np.allclose(moved, surface(skew, POINTS), rtol=1e-2)


def test_coordinates_on_skew_axes_are_found_through_the_gram_matrix():
    skew = skew_axes()
    record = measure_directions(skew, {n: t.numpy() for n, t in CENTER.items()})
    step = 0.3 * matrix_of(skew)[:, 0] - 0.2 * matrix_of(skew)[:, 1]
    found = np.linalg.solve(np.array(record["gram"]), matrix_of(skew).T @ step)
    np.testing.assert_allclose(found, [0.3, -0.2], rtol=1e-9)
    lengths = matrix_of(skew).T @ step / list(record["norms"].values())
    assert abs(lengths[0] - 0.3) > 1  # a length along an axis is no coordinate


def test_asked_for_axes_are_orthonormal_and_the_file_says_how_they_were_changed():
    config = {"kind": "random", "seed": 2, "normalize": "weight"}
    center = {name: tensor.float() for name, tensor in CENTER.items()}
    skew = make_plane(PlaneConfig(**config), 2, center)
    plane = make_plane(PlaneConfig(**config, orthonormalize=True), 2, center)
    record = plane.record
    assert record["orthonormalized"] is True
    assert abs(record["cosine"]) < 1e-6
    for norm in record["norms"].values():
        assert norm == pytest.approx(1, abs=1e-6)
    assert {t.dtype for d in plane.directions.values() for t in d.values()} == {torch.float32}
    back = matrix_of(plane.directions) @ np.array(record["coordinates"])
    np.testing.assert_allclose(back, matrix_of(skew.directions), atol=1e-6)
    along = matrix_of(skew.directions)[:, 0] @ matrix_of(plane.directions)[:, 0]
    assert along == pytest.approx(skew.record["norms"]["alpha"], rel=1e-6)  # alpha keeps its way


def test_nobody_is_made_orthonormal_unasked():
    record = make_plane(PlaneConfig(), 2, CENTER).record
    assert record["orthonormalized"] is False
    assert record["coordinates"] is None
    assert record["norms"]["alpha"] > 1.5


def test_a_profile_is_made_a_unit_vector():
    plane = make_plane(PlaneConfig(orthonormalize=True), 1, CENTER)
    assert plane.record["norms"]["alpha"] == pytest.approx(1, abs=1e-6)
    raw = make_plane(PlaneConfig(), 1, CENTER).record["norms"]["alpha"]
    assert plane.record["coordinates"] == [[pytest.approx(raw)]]


def test_float64_stays_float64_and_a_buffer_of_one_axis_moves_along():
    axes = skew_axes()
    axes["beta"] = axes["beta"] | {"running_var": torch.ones(2).double()}
    changed = change_axes(axes, coordinates(gram_of(skew_axes())))
    assert changed["beta"]["running_var"].dtype == torch.float64
    assert not changed["alpha"]["running_var"].any()
    assert changed["beta"]["running_var"].all()


@pytest.mark.parametrize("gram", [[[1, 1], [1, 1]], [[1, 0], [0, 0]], [[1e-8, 1e-4], [1e-4, 1]]])
def test_dependent_directions_are_refused(gram):
    with pytest.raises(UserError, match="linearly dependent"):
        coordinates(np.array(gram, dtype=float))


def test_very_different_lengths_are_no_dependence():
    gram = np.array([[1e12, 1e2], [1e2, 1e-6]])  # cosine 0.1
    r = coordinates(gram)
    assert r[0, 0] == pytest.approx(1e6)
    assert r[1, 1] == pytest.approx(1e-3 * math.sqrt(1 - 0.01))
