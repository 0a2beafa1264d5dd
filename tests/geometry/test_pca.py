"""The plane of a training path against the singular values of the explicit matrix."""

import json

import numpy as np
import pytest
import torch
from paths import SHAPES, flat, unflat, write_path

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.families.pca import pca_plane
from losscape_mpi.geometry.role import Role
from losscape_mpi.geometry.trajectory.gram import gram_matrix
from losscape_mpi.geometry.trajectory.rows import PathRows

SIZE = sum(int(np.prod(shape)) for shape in SHAPES.values())
AXES = ("alpha", "beta")
WEIGHTS = [*range(12), *range(15, 35)]  # where no bias is


@pytest.fixture
def vectors():
    """A path of nine checkpoints with clear principal directions."""
    rng = np.random.default_rng(1)
    plane = np.linalg.qr(rng.normal(size=(SIZE, 2)))[0]
    t = np.linspace(1, 0, 9)[:, None]
    bend = np.concatenate([4 * t, np.sin(3 * t)], axis=1)
    return rng.normal(size=SIZE) + bend @ plane.T + 0.05 * t * rng.normal(size=(9, SIZE))


def plane_of(tmp_path, vectors, axes=AXES, center=None, **options):
    settings = {"ignore": "none", "centered": True} | options
    center = vectors[-1] if center is None else center
    files = write_path(tmp_path, vectors)
    return pca_plane(files, unflat(center), axes, **settings)


def oracle(vectors, centered, kept=slice(None)):
    """Principal directions with the largest entry positive, shares, rows."""
    rows = (vectors - vectors[-1])[:, kept]
    _, s, vt = np.linalg.svd(rows - centered * rows.mean(axis=0), full_matrices=False)
    top = vt[np.arange(len(vt)), np.abs(vt).argmax(axis=1)]
    return vt * np.sign(top)[:, None], s**2 / (s**2).sum(), rows


@pytest.mark.parametrize("centered", [True, False])
def test_directions_are_those_of_the_explicit_matrix(tmp_path, vectors, centered):
    directions, record = plane_of(tmp_path, vectors, centered=centered)
    want, shares, rows = oracle(vectors, centered)
    for k, axis in enumerate(AXES):
        got = flat({name: tensor.numpy() for name, tensor in directions[axis].items()})
        np.testing.assert_allclose(got, want[k], atol=1e-7)  # stored as float32
        assert all(tensor.dtype == torch.float32 for tensor in directions[axis].values())
        np.testing.assert_allclose(record["coordinates"][axis], rows @ want[k], atol=1e-12)
    np.testing.assert_allclose(record["shares"], shares[:10], atol=1e-14)
    np.testing.assert_allclose(record["norms"], np.linalg.norm(rows, axis=1), rtol=1e-14)
    steps = np.linalg.norm(np.diff(vectors, axis=0), axis=1)
    np.testing.assert_allclose(record["steps"], steps, rtol=1e-14)


def test_residuals_are_what_the_plane_leaves(tmp_path, vectors):
    record = plane_of(tmp_path, vectors)[1]
    want, _, rows = oracle(vectors, True)
    rest = rows - rows @ want[:2].T @ want[:2]
    norms = np.linalg.norm(rows[:-1], axis=1)
    np.testing.assert_allclose(
        record["residuals"][:-1], np.linalg.norm(rest[:-1], axis=1) / norms, atol=1e-7
    )
    assert record["residuals"][-1] == 0


def test_biases_are_left_out_before_the_analysis(tmp_path, vectors):
    vectors[:, 12:15] += 100 * np.linspace(1, 0, 9)[:, None]  # would be the first direction
    directions, record = plane_of(tmp_path, vectors, ignore="biasbn")
    want, shares, _ = oracle(vectors, True, WEIGHTS)
    got = flat(directions["alpha"])
    np.testing.assert_allclose(got[WEIGHTS], want[0], atol=1e-7)
    assert not got[12:15].any()
    np.testing.assert_allclose(np.linalg.norm(got), 1, atol=1e-7)
    np.testing.assert_allclose(record["shares"], shares[:10], atol=1e-12)


def test_the_record_is_json_and_holds_the_null_of_the_measured_steps(tmp_path, vectors):
    record = plane_of(tmp_path, vectors)[1]
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["rows"][0] == "step_0000"
    steps = np.linalg.norm(np.diff(vectors, axis=0), axis=1) ** 2
    after = np.array([steps[t:].sum() for t in range(9)])
    walk = np.minimum.outer(after, after)
    j = np.eye(9) - 1 / 9
    values = np.linalg.eigvalsh(j @ walk @ j)[::-1]
    np.testing.assert_allclose(record["null_shares"], (values / values.sum())[:10], atol=1e-12)


def test_one_axis_gets_the_first_direction_whatever_its_name(tmp_path, vectors):
    both = plane_of(tmp_path, vectors)[0]
    beta = plane_of(tmp_path, vectors, axes=("beta",))[0]
    np.testing.assert_array_equal(flat(beta["beta"]), flat(both["alpha"]))


def test_a_straight_path_has_no_plane(tmp_path):
    line = np.linspace(1, 0, 5)[:, None] * np.ones(SIZE)
    with pytest.raises(UserError, match="has 1 principal direction, expected 2"):
        plane_of(tmp_path, line)
    directions, record = plane_of(tmp_path, line, axes=("alpha",))
    np.testing.assert_allclose(flat(directions["alpha"]), SIZE**-0.5, rtol=1e-6)
    assert record["shares"][0] == pytest.approx(1)


def test_a_path_that_stands_still_is_refused(tmp_path):
    with pytest.raises(UserError, match="0 principal directions"):
        plane_of(tmp_path, np.ones((3, SIZE)))


def test_a_checkpoint_with_nan_is_named(tmp_path, vectors):
    vectors[4, 3] = np.nan
    with pytest.raises(UserError, match="step_0004 of the path holds NaN"):
        plane_of(tmp_path, vectors)


def test_the_matrix_of_a_long_path_is_made_in_strips(tmp_path, monkeypatch):
    monkeypatch.setattr("losscape_mpi.geometry.trajectory.gram.STRIP", 4)
    vectors = np.random.default_rng(3).normal(size=(11, SIZE))
    rows = PathRows(write_path(tmp_path, vectors), unflat(vectors[-1]))
    explicit = vectors - vectors[-1]
    np.testing.assert_allclose(gram_matrix(rows, 11 * 8 * 6), explicit @ explicit.T, atol=1e-12)


def growing_path(scales):
    """A path whose filters grow, by a factor for each checkpoint and filter, and turn a little."""
    rng = np.random.default_rng(2)
    start, turn = rng.normal(size=SIZE), rng.normal(size=SIZE)
    vectors = [start + 0.1 * t * turn for t in np.linspace(1, 0, len(scales))]
    plain = [unflat(vector) for vector in vectors]
    grown = [
        {
            "a.weight": w["a.weight"] * s[:3, None, None],
            "a.bias": w["a.bias"],
            "b.weight": w["b.weight"],
        }
        for w, s in zip(plain, scales, strict=True)
    ]
    return np.array([flat(w) for w in grown])


@pytest.mark.parametrize("rule", ["filter", "layer"])
def test_removed_norms_are_those_of_the_center(tmp_path, rule):
    vectors = growing_path(np.exp(np.random.default_rng(5).normal(size=(6, 3))))
    extra = {"a.running_var": torch.ones(3)} if rule == "filter" else {}
    files = write_path(tmp_path, vectors, extra=extra)
    record = pca_plane(
        files, unflat(vectors[-1]), AXES, ignore="none", centered=False, norm_removed=True
    )[1]

    def removed(vector):
        tensors, center = unflat(vector), unflat(vectors[-1])
        for name in ("a.weight", "b.weight"):
            axes = tuple(range(1, tensors[name].ndim)) if rule == "filter" else None
            norms = [
                np.sqrt((w[name] ** 2).sum(axis=axes, keepdims=True)) for w in (tensors, center)
            ]
            tensors[name] = tensors[name] * norms[1] / norms[0]
        return flat(tensors)

    want = np.array([removed(vector) for vector in vectors])
    assert record["norm_removed"] == rule
    np.testing.assert_allclose(record["shares"], oracle(want, False)[1][:10], atol=1e-12)
    np.testing.assert_allclose(
        record["norms"], np.linalg.norm(want - vectors[-1], axis=1), rtol=1e-12, atol=1e-14
    )


def test_filters_of_transposed_convolutions_lie_along_axis_one(tmp_path):
    vectors = growing_path(np.ones((6, 3)))
    for vector, factor in zip(vectors, np.linspace(3, 1, 6), strict=True):
        vector[:12].reshape(3, 2, 2)[:, 1] *= factor  # one filter grows
    grown = write_path(tmp_path, vectors, extra={"a.running_var": torch.ones(3)})
    options = {"ignore": "biasbn", "centered": True, "norm_removed": True}
    record = pca_plane(
        grown, unflat(vectors[-1]), AXES, roles={"a.weight": Role(axis=1)}, **options
    )[1]
    np.testing.assert_allclose(np.diff(record["norms"][:-1]) < 0, True)
    plain = pca_plane(grown, unflat(vectors[-1]), AXES, **options)[1]
    assert record["norms"][0] < 0.5 * plain["norms"][0]
