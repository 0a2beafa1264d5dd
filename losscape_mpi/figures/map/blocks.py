"""A picture of a run that is going on: each computed point fills its cell of the coarser grid.

A run visits its points from coarse to fine (`study.grid`). A point that is not computed yet shows
the value of the nearest point of the finest lattice that has one: never an interpolated value.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.collections import LineCollection

from losscape_mpi.figures.field import Field, can_be_contoured, cell_edges
from losscape_mpi.figures.map.lattice import nearest

MAX_DOTS = 400  # more would cover the colours
BORDER_PT, THIN_FROM = 0.8, 20  # of the borders, and blocks along a side from which they thin


def with_blocks(field: Field) -> Field:
    """Return a field whose points that are not computed show their block's value.

    A field that can be contoured already is returned as it is. Failed and non-finite points
    stay missing, and so do points whose lattice point is not computed either.
    """
    is_pending = field.missing.get("not computed", np.zeros(field.values.shape, dtype=bool))
    if not is_pending.any() or can_be_contoured(field):
        return field
    shown = _nearest_computed(field.values)
    shown[~is_pending & ~np.isfinite(field.values)] = -1
    values = np.where(shown >= 0, field.values.ravel()[shown], np.nan)
    missing = field.missing | {"not computed": is_pending & (shown < 0)}
    return replace(field, values=values, missing=missing, blocks=shown)


def block_borders(field: Field) -> LineCollection:
    """Return white lines between neighbouring blocks of a field that has them."""
    x, y = cell_edges(field.alpha), cell_edges(field.beta)
    blocks = np.zeros(field.values.shape) if field.blocks is None else field.blocks
    i, j = np.nonzero(blocks[1:] != blocks[:-1])
    across = np.stack([[x[i + 1], x[i + 1]], [y[j], y[j + 1]]], axis=-1)
    k, m = np.nonzero(blocks[:, 1:] != blocks[:, :-1])
    along = np.stack([[x[k], x[k + 1]], [y[m + 1], y[m + 1]]], axis=-1)
    segments = np.concatenate([across, along], axis=1).transpose(1, 0, 2)  # (lines, 2 ends, x y)
    width = BORDER_PT * min(1.0, THIN_FROM / len(np.unique(blocks)) ** 0.5)
    return LineCollection(list(segments), colors="white", linewidths=width, zorder=2.6)


def computed_points(field: Field) -> tuple[np.ndarray, np.ndarray]:
    """Return alpha and beta of the points behind the blocks; none where they are too many."""
    if field.blocks is None:
        return np.zeros(0), np.zeros(0)
    own = field.blocks == np.arange(field.blocks.size).reshape(field.blocks.shape)
    i, j = np.nonzero(own) if own.sum() <= MAX_DOTS else (np.zeros(0, int),) * 2
    return field.alpha[i], field.beta[j]


def _nearest_computed(values: np.ndarray) -> np.ndarray:
    """Return for each point the flat index of the point whose value it shows, or -1."""
    there = np.isfinite(values)
    shown = np.full(values.shape, -1)
    stride = 1 << max(max(values.shape) - 1, 1).bit_length() - 1
    while stride >= 1:
        axes = [(_lattice(num, stride), num) for num in values.shape]
        i, j = (lattice[nearest(lattice, num)] for lattice, num in axes)
        index = i[:, None] * values.shape[1] + j[None, :]
        shown = np.where(there[i[:, None], j[None, :]], index, shown)
        stride //= 2
    return shown


def _lattice(num: int, stride: int) -> np.ndarray:
    """Return the indices of an axis that a run visits before it halves the stride again."""
    middle = num // 2
    step = min(stride, 1 << max(num - 1, 1).bit_length() - 1)
    inner = [k for k in range(num) if abs(k - middle) % step == 0]
    return np.unique([0, middle, num - 1, *inner])
