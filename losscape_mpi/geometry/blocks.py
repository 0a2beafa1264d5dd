"""A weight tensor as matrices: one for each kernel, or one for each position in the kernel.

The constructions are the intended mathematics of J. D. Seo's notebooks of 2019: along alpha they
work on each kernel W[o, i], along beta on each O x I matrix W[:, :, h, w].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from losscape_mpi.geometry.direction import Center, Made, scaled_direction
from losscape_mpi.geometry.gaussian import gaussian
from losscape_mpi.geometry.normalize import (
    WEIGHT,
    as_complex,
    as_filters,
    as_pairs,
    from_filters,
    from_outputs_first,
    outputs_first,
    row_sums,
)
from losscape_mpi.geometry.role import Role
from losscape_mpi.study.plane_config import AxisConfig

FLAT = 1e-13  # of the largest entry: what is left of equal entries without their mean

Rule = Callable[[np.ndarray], np.ndarray]
"""Matrices (count, rows, columns) -> matrices of the same shape."""


def by_kernels(tensor: np.ndarray, rule: Rule, role: Role = WEIGHT) -> np.ndarray:
    """Return a tensor of at least two dimensions with a rule applied to each kernel.

    A kernel of one dimension is a column, one of three is a matrix of depth rows.
    """
    blocks = _as_blocks(tensor, role)  # (O, I, rows, columns)
    matrices = blocks.reshape(-1, *blocks.shape[2:])
    return _from_blocks(rule(matrices).reshape(blocks.shape), tensor.shape, role)


def by_positions(tensor: np.ndarray, rule: Rule, role: Role = WEIGHT) -> np.ndarray:
    """Return a tensor with a rule applied to the O x I matrix of each position in the kernel."""
    blocks = _as_blocks(tensor, role)
    shape = blocks.shape
    matrices = blocks.reshape(*shape[:2], -1).transpose(2, 0, 1)  # (positions, O, I)
    changed = rule(matrices).transpose(1, 2, 0).reshape(shape)
    return _from_blocks(changed, tensor.shape, role)


def is_pointwise(weight: np.ndarray, role: Role = WEIGHT) -> bool:
    """Tell whether kernels are single numbers: linear layers, embeddings, 1x1 convolutions."""
    shape = weight.shape[: weight.ndim - role.is_complex]
    return not role.is_vector and len(shape) >= 2 and int(np.prod(shape[2:])) == 1


def pointwise_names(axis: str, center: Center) -> list[str]:
    """Return the parameters that alpha's rule for kernels says nothing about, sorted."""
    if axis != "alpha":
        return []
    return sorted(n for n, weight in center.weights.items() if is_pointwise(weight, center.role(n)))


def direction_from_weights(config: AxisConfig, axis: str, center: Center, rule: Rule) -> Made:
    """Return a direction made of the weights by a rule, every filter as long as the weights' one.

    Each matrix is centered by the mean of its entries first. Where a kernel is a single number,
    which its mean leaves at 0, alpha takes the filter-normalised Gaussian instead.

    Args:
        config: The seed of that Gaussian.
        axis: alpha works on kernels, beta on positions.
        center: The trained parameters; biases and norm layers get 0.
        rule: What a centered matrix becomes.
    """

    def draw(name: str, weight: np.ndarray) -> np.ndarray:
        role = center.role(name)
        if axis == "alpha" and is_pointwise(weight, role):
            return gaussian(config.seed, axis, name, weight.shape)
        by = by_kernels if axis == "alpha" else by_positions
        made = by(weight, lambda matrices: rule(_without_mean(matrices)), role)
        return _with_unit_filters(made, role)

    direction = scaled_direction(center, draw, "filter", "biasbn")
    record = {"normalize": "filter", "ignore": "biasbn", "seed": config.seed}
    return Made(direction, record | {"pointwise": pointwise_names(axis, center)})


def _without_mean(matrices: np.ndarray) -> np.ndarray:
    """Return centered matrices, exactly 0 where all entries are equal up to rounding."""
    centered = matrices - matrices.mean(axis=(1, 2), keepdims=True)
    size = np.abs(matrices).max(axis=(1, 2), keepdims=True)
    is_flat = np.abs(centered).max(axis=(1, 2), keepdims=True) <= FLAT * size
    return np.where(is_flat, 0.0, centered)


def _with_unit_filters(tensor: np.ndarray, role: Role) -> np.ndarray:
    """Return a tensor with filters of length 1 or 0: small weights may make very small ones."""
    filters = as_filters(tensor, role)
    norms = np.sqrt(row_sums(filters * filters))
    unit = np.divide(filters, norms, out=np.zeros_like(filters), where=norms > 0)
    return from_filters(unit, tensor.shape, role)


def _as_blocks(tensor: np.ndarray, role: Role) -> np.ndarray:
    numbers = as_complex(tensor)[..., 0] if role.is_complex else tensor
    moved = outputs_first(numbers, role)
    rows = moved.shape[2] if moved.ndim > 2 else 1
    return moved.reshape(*moved.shape[:2], rows, -1)


def _from_blocks(blocks: np.ndarray, shape: tuple[int, ...], role: Role) -> np.ndarray:
    if not role.is_complex:
        return from_outputs_first(blocks, shape, role)
    return as_pairs(from_outputs_first(blocks, shape[:-1], role)[..., None])
