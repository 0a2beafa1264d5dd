"""Lanczos against planted spectra, and the traps that it avoids."""

import numpy as np
import pytest
from dense_hessians import planted
from numpy.testing import assert_allclose
from scipy.sparse.linalg import eigsh

from losscape_mpi.curvature.lanczos import lanczos
from losscape_mpi.errors import UserError

SKEW = np.concatenate([[-9.0, -2.0], np.linspace(-0.5, 0.5, 40), [1.0, 3.0, 4.0]])
CLOSE = np.concatenate([np.linspace(0, 0.9, 398), [0.99, 1.0]])  # two tops, hard to tell apart


def product_of(matrix):
    return lambda v: matrix @ v


def diagonal(spectrum):
    return lambda v: spectrum * v


def test_both_ends_of_a_planted_spectrum_come_from_one_run():
    matrix = planted(SKEW)
    pairs = lanczos(
        product_of(matrix), len(SKEW), num_top=2, num_bottom=2, tolerance=1e-10, floor=1e-13
    )
    assert_allclose(pairs.values, [4, 3, -9, -2], rtol=1e-10)
    _, vectors = np.linalg.eigh(matrix)
    want = np.abs((pairs.vectors * vectors[:, [-1, -2, 0, 1]].T).sum(axis=1))
    assert_allclose(want, 1, rtol=1e-10)
    assert pairs.converged


def test_the_ends_are_those_of_arpack():
    spectrum = np.random.default_rng(5).standard_normal(300)
    matrix = planted(spectrum)
    pairs = lanczos(
        product_of(matrix), 300, num_top=1, num_bottom=1, max_products=200, tolerance=1e-8
    )
    want = eigsh(matrix, k=2, which="BE", return_eigenvectors=False)
    assert_allclose(pairs.values, want[::-1], rtol=1e-9)


def test_largest_means_with_its_sign():
    pairs = lanczos(product_of(planted(SKEW)), len(SKEW), tolerance=1e-8)
    v = np.random.default_rng(0).standard_normal(len(SKEW))
    for _ in range(100):  # power iteration finds the largest magnitude
        v = planted(SKEW) @ v
        v /= np.linalg.norm(v)
    assert_allclose(v @ planted(SKEW) @ v, -9, rtol=1e-6)
    assert_allclose(pairs.values, [4], rtol=1e-8)


@pytest.mark.parametrize("seed", range(20))
def test_ritz_values_lie_inside_the_spectrum_and_near_an_eigenvalue(seed):
    spectrum = np.random.default_rng(seed).standard_normal(80)
    for num_products in (4, 7, 15, 40, 80):
        pairs = lanczos(
            diagonal(spectrum), 80, num_top=1, num_bottom=1, seed=seed, max_products=num_products
        )
        assert (
            spectrum.min() - 1e-12 <= pairs.values[1] <= pairs.values[0] <= spectrum.max() + 1e-12
        )
        distance = np.abs(spectrum[:, None] - pairs.values).min(axis=0)
        assert (distance <= pairs.residuals + 1e-12).all()


def test_residuals_are_those_of_the_pairs():
    matrix = planted(SKEW)
    pairs = lanczos(product_of(matrix), len(SKEW), num_top=2, num_bottom=1, max_products=12)
    want = np.linalg.norm(pairs.vectors @ matrix - pairs.values[:, None] * pairs.vectors, axis=1)
    assert_allclose(pairs.residuals, want, rtol=1e-6)
    assert_allclose(np.linalg.norm(pairs.vectors, axis=1), 1, rtol=1e-14)


def test_a_run_that_was_cut_short_says_so():
    pairs = lanczos(diagonal(CLOSE), len(CLOSE), max_products=8)
    assert not pairs.converged
    assert pairs.products == 8
    assert pairs.residuals[0] > 1e-3 * pairs.values[0]


def test_stopping_when_the_value_hardly_moves_would_stop_between_two_eigenvectors():
    previous, steps = np.inf, 2
    while True:  # the rule: relative change below 1e-3
        pairs = lanczos(diagonal(CLOSE), len(CLOSE), max_products=steps, floor=0.0, seed=2)
        if abs(pairs.values[0] - previous) < 1e-3 * previous:
            break
        previous, steps = pairs.values[0], steps + 1
    assert pairs.residuals[0] > 1e-2
    assert abs(pairs.vectors[0, -1]) < 0.6
    right = lanczos(diagonal(CLOSE), len(CLOSE), tolerance=1e-3, floor=0.0, seed=2)
    assert right.converged
    assert right.residuals[0] < 1e-3
    assert abs(right.vectors[0, -1]) > 0.9999


def ritz_values(matrix, steps: int, after: bool) -> np.ndarray:
    """All Ritz values; b_j is taken after or before w leaves the span of all earlier vectors."""
    basis = np.random.default_rng(0).standard_normal((1, len(matrix)))
    basis /= np.linalg.norm(basis)
    diagonal, beside = [], []
    for _ in range(steps):
        w = matrix @ basis[-1]
        diagonal.append(basis[-1] @ w)
        w = w - diagonal[-1] * basis[-1]
        before = np.linalg.norm(w)
        for _ in range(2):
            w = w - basis.T @ (basis @ w)
        beside.append(np.linalg.norm(w) if after else before)
        basis = np.vstack([basis, w / np.linalg.norm(w)])
    beside = np.diag(beside[:-1], 1)
    return np.linalg.eigvalsh(np.diag(diagonal) + beside + beside.T)


def test_a_length_from_before_orthogonalisation_leaves_the_spectrum():
    right, wrong = (ritz_values(planted(SKEW), 20, after) for after in (True, False))
    assert_allclose(right[[0, -1]], [-9, 4], rtol=1e-6)
    assert wrong[0] < -9.5
    assert wrong[-1] > 4.5
    pairs = lanczos(product_of(planted(SKEW)), len(SKEW), num_bottom=1, tolerance=1e-6)
    assert_allclose(pairs.values, right[[-1, 0]], rtol=1e-6)


def test_rounding_of_the_products_makes_no_second_copy_of_an_eigenvalue():
    spectrum = np.concatenate([np.linspace(0, 0.1, 200), [1.0, 10.0, 1000.0]])
    matrix = planted(spectrum).astype(np.float32)

    def product(v):
        return (matrix @ v.astype(np.float32)).astype(np.float64)

    # The first value converges at once; without full orthogonality it comes again as the second.
    pairs = lanczos(product, len(spectrum), num_top=3, tolerance=1e-3, floor=1e-6)
    assert_allclose(pairs.values, [1000, 10, 1], rtol=1e-3)
    assert pairs.converged


@pytest.mark.parametrize("spectrum", [[0.0, 0, 0], [2.0, 2, 2], [5.0, 5, 1]])
def test_an_exhausted_krylov_space_goes_on_from_a_new_start(spectrum):
    pairs = lanczos(diagonal(np.array(spectrum)), 3, num_top=1, num_bottom=1)
    assert_allclose(pairs.values, [max(spectrum), min(spectrum)], atol=1e-12)
    assert_allclose(pairs.vectors @ pairs.vectors.T, np.eye(2), atol=1e-12)
    assert pairs.converged


def test_one_dimension_has_one_pair():
    pairs = lanczos(lambda v: -3 * v, 1)
    assert (pairs.values[0], pairs.vectors[0, 0], pairs.products) == (-3, 1, 2)


def test_a_small_eigenvalue_counts_as_converged_at_the_floor_of_the_rounding():
    spectrum = np.concatenate([np.linspace(0, 50, 60), [100.0]])
    coarse, fine = (
        lanczos(diagonal(spectrum), 61, num_bottom=1, max_products=45, floor=floor)
        for floor in (1e-3, 1e-13)
    )
    assert coarse.converged
    assert not fine.converged
    assert coarse.products < fine.products == 45


def test_a_seed_gives_the_same_bytes_and_signs_are_fixed():
    first, again, other = (
        lanczos(
            product_of(planted(SKEW)),
            len(SKEW),
            num_bottom=1,
            seed=seed,
            tolerance=1e-7,
            floor=1e-9,
        )
        for seed in (0, 0, 1)
    )
    assert first.vectors.tobytes() == again.vectors.tobytes()
    assert_allclose(other.vectors, first.vectors, atol=1e-7)
    assert (
        np.take_along_axis(first.vectors, np.abs(first.vectors).argmax(1)[:, None], 1) > 0
    ).all()


def test_a_product_that_is_not_finite_is_refused():
    with pytest.raises(UserError, match="Hessian product holds NaN or infinity"):
        lanczos(lambda v: v * np.nan, 5)


def test_impossible_wishes_are_refused():
    with pytest.raises(UserError, match="2 eigenvalues wanted of 1 parameters"):
        lanczos(lambda v: v, 1, num_top=2)
    with pytest.raises(
        UserError, match="at most 3 products for 2 eigenvalues, expected at least 4"
    ):
        lanczos(lambda v: v, 9, num_top=2, max_products=3)
