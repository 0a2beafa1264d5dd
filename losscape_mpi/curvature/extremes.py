"""Directions of extreme curvature and of steepest ascent, one tensor for each parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from losscape_mpi.curvature.finite_difference import check_gradient
from losscape_mpi.curvature.lanczos import RitzPairs, lanczos
from losscape_mpi.curvature.products import BATCH_SIZE, CenterLoss
from losscape_mpi.errors import UserError
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.number import as_real, is_number

Which = Literal["top", "extremes"]
ENDS = {"top": (2, 0), "extremes": (1, 1)}  # eigenpairs at the upper and at the lower end
FLOOR = {torch.float64: 1e-13}  # rounding of the products, relative to the largest eigenvalue
FLOAT32_FLOOR = 1e-5


@dataclass(frozen=True, eq=False)
class EigenPairs:
    """Two eigenpairs of the Hessian of the mean loss at the center.

    Attributes:
        vectors: For each pair a float32 tensor by parameter name, all floating parameters in the
            model's order, of unit norm in all; 0 where a parameter was not among the chosen ones.
        values: Ritz values, float64 of shape (2,).
        residuals: |H v - value v|, float64 of shape (2,): how far an eigenvalue is at most.
        converged: Whether both residuals are within the tolerance.
        record: All of this but the vectors, and how it was computed, as plain JSON values.
    """

    vectors: list[dict[str, Tensor]]
    values: np.ndarray
    residuals: np.ndarray
    converged: bool
    record: dict[str, Any]


def extreme_eigenpairs(
    problem: Problem,
    *,
    names: Sequence[str] | None = None,
    split: str = "train",
    samples: int | None = None,
    which: Which = "top",
    seed: int = 0,
    max_products: int = 100,
    tolerance: float = 1e-3,
    batch_size: int = BATCH_SIZE,
    device: torch.device | str | None = None,
) -> EigenPairs:
    """Return the two largest eigenpairs of the Hessian, or the largest and the smallest one.

    Largest and smallest are meant with their sign. See `lanczos` for the method and `CenterLoss`
    for the Hessian.

    Args:
        problem: Model, criterion and data; stays as it is.
        names: Parameters to differentiate by; None takes all floating ones.
        split: Name of the split.
        samples: Drawn of the split; None takes all.
        which: top: the two largest; extremes: the largest and the smallest.
        seed: Seed of the start and of the draw of samples.
        max_products: Hessian products at most.
        tolerance: Largest residual, relative to the eigenvalue.
        batch_size: Samples of one pass.
        device: Where to compute; None is the CPU.

    Raises:
        UserError: If which, names, split or samples do not exist, or the loss is not finite.
    """
    if which not in ENDS:
        raise UserError(f"found eigenvectors {which!r}, expected {' or '.join(ENDS)}")
    loss = CenterLoss(
        problem,
        names,
        split=split,
        samples=samples,
        seed=seed,
        batch_size=batch_size,
        device=device,
    )
    check_gradient(problem, loss.names, split)
    pairs = _pairs_at_ends(loss, which, seed, max_products, tolerance)
    how = {"which": which, "seed": seed, "tolerance": tolerance}
    record = _sampling(loss, split) | how | _found(pairs, _floor(loss))
    vectors = [_direction(problem, loss, vector) for vector in pairs.vectors]
    return EigenPairs(vectors, pairs.values, pairs.residuals, pairs.converged, record)


def gradient_direction(
    problem: Problem,
    *,
    names: Sequence[str] | None = None,
    split: str = "train",
    samples: int | None = None,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    device: torch.device | str | None = None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the gradient of the mean loss divided by its norm, and a record in plain JSON values.

    The direction has the shape of `EigenPairs.vectors`; arguments are those of
    `extreme_eigenpairs`.

    Raises:
        UserError: If the gradient is 0 or not finite.
    """
    loss = CenterLoss(
        problem,
        names,
        split=split,
        samples=samples,
        seed=seed,
        batch_size=batch_size,
        device=device,
    )
    check_gradient(problem, loss.names, split)
    slope = loss.gradient()
    norm = float(np.linalg.norm(slope))
    if not 0 < norm < np.inf:
        raise UserError(
            f"the gradient at the trained parameters has norm {norm}, expected a finite one above "
            "0: take other parameters or another kind of plane"
        )
    record = _sampling(loss, split) | {"seed": seed, "gradient_norm": norm}
    return _direction(problem, loss, slope / norm), record


def _pairs_at_ends(
    loss: CenterLoss, which: Which, seed: int, max_products: int, tolerance: float
) -> RitzPairs:
    num_top, num_bottom = ENDS[which]
    return lanczos(
        loss.product,
        loss.size,
        num_top=num_top,
        num_bottom=num_bottom,
        seed=seed,
        max_products=max_products,
        tolerance=tolerance,
        floor=_floor(loss),
    )


def _sampling(loss: CenterLoss, split: str) -> dict[str, Any]:
    return {"split": split, "samples": loss.num_samples, "parameters": list(loss.names)}


def _floor(loss: CenterLoss) -> float:
    return FLOOR.get(loss.dtype, FLOAT32_FLOOR)


def _found(pairs: RitzPairs, floor: float) -> dict[str, Any]:
    small = np.abs(pairs.values) <= floor * np.abs(pairs.values).max()
    return {
        "eigenvalues": pairs.values.tolist(),
        "residuals": pairs.residuals.tolist(),
        "below_floor": small.tolist(),  # too small to be told from the rounding of the products
        "products": pairs.products,
        "converged": pairs.converged,
    }


def _direction(problem: Problem, loss: CenterLoss, vector: np.ndarray) -> dict[str, Tensor]:
    parts = dict(zip(loss.names, loss.unflatten(vector), strict=True))
    return {
        name: parts[name].to("cpu", torch.float32)
        if name in parts
        else torch.zeros(as_real(parameter.detach()).shape, dtype=torch.float32)
        for name, parameter in problem.model.named_parameters()
        if is_number(parameter)
    }
