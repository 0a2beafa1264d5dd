"""Least-squares coordinates on skew, unequal axes, and what the plane misses."""

import numpy as np
import pytest
from paths import SHAPES, unflat, write_path

from losscape_mpi.geometry.trajectory.projection import project_path
from losscape_mpi.geometry.trajectory.rows import PathRows

SIZE = sum(int(np.prod(shape)) for shape in SHAPES.values())


@pytest.fixture
def center():
    return np.random.default_rng(0).normal(size=SIZE)


@pytest.fixture
def axes():
    """Two directions with cosine 0.9 and lengths 70 and 0.02, and a unit vector across both."""
    q = np.linalg.qr(np.random.default_rng(1).normal(size=(SIZE, 3)))[0].T
    return 70 * q[0], 0.02 * (0.9 * q[0] + np.sqrt(1 - 0.81) * q[1]), q[2]


def project(tmp_path, vectors, center, directions):
    rows = PathRows(write_path(tmp_path, vectors), unflat(center))
    return project_path(rows, {k: unflat(d) for k, d in directions.items()})


def test_a_point_of_the_plane_gets_its_own_coordinates(tmp_path, center, axes):
    a, b, _ = axes
    got = project(tmp_path, [center + 0.3 * a - 0.2 * b, center], center, {"alpha": a, "beta": b})
    np.testing.assert_allclose(got.coordinates, [[0.3, -0.2], [0, 0]], atol=1e-11)
    assert got.residual[0] < 1e-12
    assert got.residual[1] == 0


def test_the_way_across_the_plane_is_the_residual(tmp_path, center, axes):
    a, b, across = axes
    inside = 0.1 * a + 30 * b
    off = 2.0 * across
    got = project(tmp_path, [center + inside + off, center + off], center, {"alpha": a, "beta": b})
    np.testing.assert_allclose(got.coordinates, [[0.1, 30], [0, 0]], atol=1e-10)
    want = 2 / np.sqrt(inside @ inside + 4)
    np.testing.assert_allclose(got.residual, [want, 1], rtol=1e-12)
    np.testing.assert_allclose(got.norms, [2 / want, 2], rtol=1e-12)
    np.testing.assert_allclose(got.steps, [np.linalg.norm(inside)], rtol=1e-12)


def test_a_line_has_one_coordinate(tmp_path, center, axes):
    got = project(tmp_path, [center + 0.5 * axes[0], center], center, {"alpha": axes[0]})
    np.testing.assert_allclose(got.coordinates, [[0.5], [0]], atol=1e-14)


@pytest.mark.parametrize("kind", ["centered", "uncentered"])
def test_the_explained_share_is_that_of_the_explicit_projection(tmp_path, center, axes, kind):
    path = center + np.random.default_rng(2).normal(size=(6, SIZE)).cumsum(axis=0)[::-1]
    a, b, _ = axes
    got = project(tmp_path, path, center, {"alpha": a, "beta": b})
    rows = path - center - (kind == "centered") * (path - center).mean(axis=0)
    inside = rows @ np.linalg.pinv(np.stack([a, b])) @ np.stack([a, b])
    assert got.explained[kind] == pytest.approx((inside**2).sum() / (rows**2).sum(), rel=1e-9)


def test_the_null_is_the_best_plane_of_a_walk_with_the_measured_steps(tmp_path, center):
    path = center + np.random.default_rng(2).normal(size=(40, SIZE)).cumsum(axis=0)[::-1]
    path -= path[-1] - center
    u = np.linalg.svd(path - path.mean(axis=0), full_matrices=False)[2]
    got = project(tmp_path, path, center, {"alpha": u[0], "beta": u[1]})
    assert got.null["centered"] == pytest.approx(0.76, abs=0.02)  # 60.8 + 15.2 %
    assert got.explained["centered"] == pytest.approx(got.null["centered"], abs=0.12)


def test_a_diverged_checkpoint_has_no_place_and_spoils_no_other(tmp_path, center, axes):
    a, b, _ = axes
    path = [center + 0.3 * a, np.full(SIZE, np.inf), np.full(SIZE, np.nan), center]
    got = project(tmp_path, path, center, {"alpha": a, "beta": b})
    np.testing.assert_allclose(got.coordinates[[0, 3]], [[0.3, 0], [0, 0]], atol=1e-11)
    assert np.isnan(got.coordinates[1:3]).all()
    assert np.isnan(got.residual[1:3]).all()
    assert got.explained == {"centered": None, "uncentered": None}


def test_a_path_that_misses_the_center_has_no_null_about_it(tmp_path, center, axes):
    path = center + np.random.default_rng(2).normal(size=(6, SIZE)).cumsum(axis=0)
    got = project(tmp_path, path, center, {"alpha": axes[0]})
    assert got.null["uncentered"] is None
    assert got.null["centered"] > 0
    assert got.explained["uncentered"] is not None


def test_one_checkpoint_has_no_variance(tmp_path, center, axes):
    got = project(tmp_path, [center + axes[0]], center, {"alpha": axes[0]})
    assert got.explained["centered"] is None
    assert got.coordinates.shape == (1, 1)
