"""Extreme eigenvalues of a symmetric matrix that is known by its products alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal

from losscape_mpi.errors import UserError
from losscape_mpi.problem.data.split import seeded_bits

Product = Callable[[np.ndarray], np.ndarray]
"""v of shape (N,) -> H v, float64 of shape (N,)."""

BREAKDOWN = 1e-13  # a remainder this small, relative to the spectrum, is rounding
MARGIN = 0.5  # of the tolerance, so that the residuals computed anew stay within it


@dataclass(frozen=True, eq=False)
class RitzPairs:
    """Approximate eigenpairs of H: the largest ones first (descending), then the smallest ones.

    Attributes:
        values: Ritz values, float64 of shape (k,). An eigenvalue lies within `residuals` of each.
        vectors: Unit vectors, float64 of shape (k, N); the entry of largest magnitude is positive.
        residuals: |H v - value v| of each pair, computed anew with a product of its own.
        limits: What the residuals should stay within, shape (k,).
        products: Number of products, those for the residuals included.
        converged: Whether all residuals stay within their limits.
    """

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    limits: np.ndarray
    products: int
    converged: bool


def lanczos(
    product: Product,
    size: int,
    *,
    num_top: int = 1,
    num_bottom: int = 0,
    seed: int = 0,
    max_products: int = 100,
    tolerance: float = 1e-3,
    floor: float = 1e-5,
) -> RitzPairs:
    """Return the algebraically largest and smallest eigenvalues with their vectors.

    Lanczos' method from one random start; both ends come from the same run. Every new vector is
    made orthogonal to all earlier ones twice, and its length is taken after that (Parlett, The
    Symmetric Eigenvalue Problem, section 6.9). Ritz values lie inside the spectrum. The run ends
    when the residuals of all wanted pairs are small, never because the values stop moving. An
    eigenvalue of several dimensions may be found once only. The basis takes 8 N bytes of memory
    for each product.

    Args:
        product: v -> H v of a symmetric H.
        size: N.
        num_top: Pairs wanted at the upper end.
        num_bottom: Pairs wanted at the lower end.
        seed: Seed of the start, uniform on the unit sphere.
        max_products: Products at most, those for the residuals included.
        tolerance: Largest residual, relative to the pair's own value.
        floor: Residuals below floor times the largest absolute value count as converged: the
            rounding of the products.

    Raises:
        UserError: If N or max_products is too small for the pairs wanted, or a product is not
            finite.
    """
    wanted = num_top + num_bottom
    _check(size, wanted, max_products)
    basis = _Basis(product, size, min(size, max_products - wanted), seed)
    while True:
        values, weights = basis.grow()
        if len(values) < wanted:
            continue
        chosen = _ends(len(values), num_top, num_bottom)
        scale = np.abs(values).max()
        limits = np.maximum(tolerance * np.abs(values[chosen]), floor * scale)
        errors = basis.remainder * np.abs(weights[-1, chosen])
        if basis.is_full or (errors <= MARGIN * limits).all():
            break
    vectors = _unit_rows(weights[:, chosen].T @ basis.rows)
    return _measured(product, values[chosen], vectors, limits, len(values))


class _Basis:
    """Orthonormal rows that grow by products, and what H is between them: tridiagonal."""

    def __init__(self, product: Product, size: int, max_rows: int, seed: int) -> None:
        self._product = product
        self._random = np.random.Generator(seeded_bits(seed, "lanczos"))
        self._all = np.empty((max_rows, size))  # the system gives memory when a row is written
        self._diagonal, self._beside = np.empty(max_rows), np.empty(max_rows)
        self._next = self._random.standard_normal(size)
        self._count = 0

    @property
    def rows(self) -> np.ndarray:
        """Those that there are."""
        return self._all[: self._count]

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another row."""
        return self._count == len(self._all)

    @property
    def remainder(self) -> float:
        """Length of what the last product left beside the rows."""
        return self._beside[self._count - 1]

    def grow(self) -> tuple[np.ndarray, np.ndarray]:
        """Add a row; returns the eigenvalues of H between all rows, ascending, and the vectors."""
        step = self._count
        self._all[step] = self._next / np.linalg.norm(self._next)
        self._count += 1
        after = _finite(self._product(self._all[step]))
        self._diagonal[step] = self._all[step] @ after
        self._next = _orthogonalize(after, self.rows)
        self._beside[step] = np.linalg.norm(self._next)
        values, weights = eigh_tridiagonal(self._diagonal[: step + 1], self._beside[:step])
        # The basis spans an invariant subspace.
        if self._beside[step] <= BREAKDOWN * np.abs(values).max():
            self._beside[step] = 0.0
            self._next = _orthogonalize(self._random.standard_normal(len(after)), self.rows)
        return values, weights


def _measured(
    product: Product, values: np.ndarray, vectors: np.ndarray, limits: np.ndarray, steps: int
) -> RitzPairs:
    """Return the pairs with residuals that rest on no estimate."""
    errors = [_finite(product(v)) - t * v for t, v in zip(values, vectors, strict=True)]
    residuals = np.linalg.norm(errors, axis=1)
    converged = bool((residuals <= limits).all())
    return RitzPairs(values, vectors, residuals, limits, steps + len(values), converged)


def _check(size: int, wanted: int, max_products: int) -> None:
    if wanted < 1 or size < wanted:
        raise UserError(
            f"found {wanted} eigenvalues wanted of {size} parameters: take more parameters"
        )
    if max_products < 2 * wanted:
        raise UserError(
            f"found at most {max_products} products for {wanted} eigenvalues, expected at least "
            f"{2 * wanted}"
        )


def _finite(vector: np.ndarray) -> np.ndarray:
    if not np.isfinite(vector).all():
        raise UserError(
            "a Hessian product holds NaN or infinity: expected a loss that is finite at the "
            "trained parameters; choose another checkpoint"
        )
    return vector


def _orthogonalize(vector: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return what is left of a vector beside orthonormal rows; twice is enough (Kahan, Parlett)."""
    for _ in range(2):
        vector = vector - rows.T @ (rows @ vector)
    return vector


def _ends(count: int, num_top: int, num_bottom: int) -> np.ndarray:
    """Return positions in an ascending list: the last ones first, then the first ones."""
    descending = np.arange(count - 1, -1, -1)
    return np.concatenate([descending[:num_top], np.arange(num_bottom)])


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) * np.sign(largest))
