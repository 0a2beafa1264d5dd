"""How a Gaussian direction is scaled to the weights.

Sums are folded in a fixed order with single additions, so that a direction has the same bits on
every machine; numpy's and torch's own sums depend on the processor and the version.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from losscape_mpi.geometry.role import Role

WEIGHT = Role()  # filters along axis 0
EPSILON = 1e-10  # added to a draw's norm by the 2018 code (tomgoldstein/loss-landscape)


def normalize(
    draw: np.ndarray, weight: np.ndarray, rule: str, *, is_complex: bool = False
) -> np.ndarray:
    """Return a draw scaled to the weights, float64 of shape (filters, entries).

    Li et al. 2018 (arXiv:1712.09913), section 4, and the variants of the 2018 code. With g_f, w_f
    a filter of the draw and of the weights, g, w the whole tensors:
    filter g_f |w_f| / (|g_f| + 1e-10), layer g |w| / |g|, weight g * w entry by entry,
    dfilter g_f / (|g_f| + 1e-10), dlayer g / |g|, none g.
    A filter whose weights are all 0 gets 0 under every rule: it is left out of the draw first.
    Of complex numbers, `weight` is their product divided by sqrt(2), the length of a draw.

    Args:
        draw: Gaussian numbers, shape (filters, entries).
        weight: The trained parameters, same shape.
        rule: A value of plane.normalize.
        is_complex: Whether entries are pairs (real part, imaginary part).
    """
    draw = draw.astype(np.float64)
    weight = weight.astype(np.float64)
    draw = np.where(zero_filters(weight)[:, None], 0.0, draw)
    if is_complex and rule == "weight":
        return as_pairs(as_complex(draw) * as_complex(weight) / np.sqrt(2))
    return _RULES[rule](draw, weight)


def zero_filters(weight: np.ndarray) -> np.ndarray:
    """Return which filters of shape (filters, entries) are all 0, bool of shape (filters,)."""
    return np.asarray(~weight.any(axis=1))


def as_filters(tensor: np.ndarray, role: Role = WEIGHT) -> np.ndarray:
    """Return a tensor as (filters, entries), a filter being one index of the output dimension.

    A vector (bias, norm layer) is one filter.
    """
    if role.is_vector or tensor.ndim <= 1:
        return tensor.reshape(1, tensor.size)
    moved = outputs_first(tensor, role)
    return moved.reshape(len(moved), int(np.prod(moved.shape[1:])))


def from_filters(filters: np.ndarray, shape: tuple[int, ...], role: Role = WEIGHT) -> np.ndarray:
    """Return the tensor of the given shape whose `as_filters` is `filters`."""
    if role.is_vector or len(shape) <= 1:
        return filters.reshape(shape)
    return from_outputs_first(filters, shape, role)


def outputs_first(tensor: np.ndarray, role: Role) -> np.ndarray:
    """Return a weight as (outputs, inputs, ...): of a group, where there are groups."""
    if role.axis == 0:
        return tensor
    inputs, outputs, *rest = tensor.shape
    parts = tensor.reshape(role.groups, inputs // role.groups, outputs, *rest)
    return parts.swapaxes(1, 2).reshape(role.groups * outputs, inputs // role.groups, *rest)


def from_outputs_first(moved: np.ndarray, shape: tuple[int, ...], role: Role) -> np.ndarray:
    """Return the tensor of the given shape whose `outputs_first` has the entries of `moved`."""
    if role.axis == 0:
        return moved.reshape(shape)
    inputs, outputs, *rest = shape
    parts = moved.reshape(role.groups, outputs, inputs // role.groups, *rest)
    return parts.swapaxes(1, 2).reshape(shape)


def as_complex(pairs: np.ndarray) -> np.ndarray:
    """Return pairs along the last dimension (which may hold many) as complex numbers."""
    return np.ascontiguousarray(pairs, dtype=np.float64).view(np.complex128)


def as_pairs(numbers: np.ndarray) -> np.ndarray:
    """Return complex numbers as pairs within the last dimension."""
    return np.ascontiguousarray(numbers).view(np.float64)


def row_sums(values: np.ndarray) -> np.ndarray:
    """Return the sum of each row of float64 values, shape (rows, 1), folded in halves."""
    while values.shape[1] > 1:
        half = (values.shape[1] + 1) // 2
        folded = values[:, :half].copy()
        folded[:, : values.shape[1] - half] += values[:, half:]
        values = folded
    return values if values.shape[1] else np.zeros((len(values), 1))


def dot(first: np.ndarray, second: np.ndarray) -> float:
    """Return the inner product of two float64 arrays of one shape."""
    return float(row_sums((first * second).reshape(1, first.size))[0, 0])


def _row_norms(values: np.ndarray) -> np.ndarray:
    return np.sqrt(row_sums(values * values))  # (filters, 1)


def _whole_norm(values: np.ndarray) -> float:
    return float(np.sqrt(dot(values, values)))


def _layer(draw: np.ndarray, weight: np.ndarray) -> np.ndarray:
    norm = _whole_norm(draw)
    return draw * (_whole_norm(weight) / norm) if norm else draw


def _dlayer(draw: np.ndarray, weight: np.ndarray) -> np.ndarray:  # noqa: ARG001 (one signature)
    norm = _whole_norm(draw)
    return draw / norm if norm else draw


_RULES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "filter": lambda draw, weight: draw * (_row_norms(weight) / (_row_norms(draw) + EPSILON)),
    "layer": _layer,
    "weight": lambda draw, weight: draw * weight,
    "dfilter": lambda draw, _: draw / (_row_norms(draw) + EPSILON),
    "dlayer": _dlayer,
    "none": lambda draw, _: draw,
}
