"""How a Gaussian direction is scaled to the weights.

Sums are folded in a fixed order with single additions, so that a direction has the same bits on
every machine; numpy's and torch's own sums depend on the processor and the version.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

EPSILON = 1e-10  # added to a draw's norm by the 2018 code (tomgoldstein/loss-landscape)


def normalize(draw: np.ndarray, weight: np.ndarray, rule: str) -> np.ndarray:
    """Return a draw scaled to the weights, float64 of shape (filters, entries).

    Li et al. 2018 (arXiv:1712.09913), section 4, and the variants of the 2018 code. With g_f, w_f
    a filter of the draw and of the weights, g, w the whole tensors:
    filter g_f |w_f| / (|g_f| + 1e-10), layer g |w| / |g|, weight g * w entry by entry,
    dfilter g_f / (|g_f| + 1e-10), dlayer g / |g|, none g.
    A filter whose weights are all 0 gets 0 under every rule: it is left out of the draw first.

    Args:
        draw: Gaussian numbers, shape (filters, entries).
        weight: The trained parameters, same shape.
        rule: A value of plane.normalize.
    """
    draw = draw.astype(np.float64)
    weight = weight.astype(np.float64)
    draw = np.where(zero_filters(weight)[:, None], 0.0, draw)
    return _RULES[rule](draw, weight)


def zero_filters(weight: np.ndarray) -> np.ndarray:
    """Return which filters of shape (filters, entries) are all 0, bool of shape (filters,)."""
    return np.asarray(~weight.any(axis=1))


def as_filters(tensor: np.ndarray, filter_axis: int = 0) -> np.ndarray:
    """Return a tensor as (filters, entries), a filter being one index of `filter_axis`.

    A tensor of at most one dimension (bias, norm layer) is one filter.
    """
    if tensor.ndim <= 1:
        return tensor.reshape(1, tensor.size)
    moved = np.moveaxis(tensor, filter_axis, 0)
    return moved.reshape(len(moved), int(np.prod(moved.shape[1:])))


def from_filters(filters: np.ndarray, shape: tuple[int, ...], filter_axis: int = 0) -> np.ndarray:
    """Return the tensor of the given shape whose `as_filters` is `filters`."""
    if len(shape) <= 1:
        return filters.reshape(shape)
    moved = (shape[filter_axis], *shape[:filter_axis], *shape[filter_axis + 1 :])
    return np.moveaxis(filters.reshape(moved), 0, filter_axis)


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
