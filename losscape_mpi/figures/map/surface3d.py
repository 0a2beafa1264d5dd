"""The 3-D picture of a surface, drawn from its own polygons.

matplotlib's plot_surface leaves points out by itself and shades by the data's units; here every
cell between four computed points is drawn, and no other.
"""

from __future__ import annotations

import numpy as np
from matplotlib.patches import PathPatch
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection, pathpatch_2d_to_3d

from losscape_mpi.figures.field import (
    Field,
    can_be_contoured,
    cell_edges,
    center_index,
    complete_cells,
)
from losscape_mpi.figures.map.lattice import thinned
from losscape_mpi.figures.marks import missing_patches
from losscape_mpi.figures.scale import Scale, number_text
from losscape_mpi.figures.style import CENTER_MARK, colormap

SMOOTH_SIZE = 96  # facets along an axis: coarser grids are divided, linearly, for their colours
LARGEST_SIZE = 201  # points along an axis: 40 000 facets take a second
ELEVATION, AZIMUTH = 36.0, -58.0
LIGHT = np.array([-0.4, -0.5, 0.77])  # from the front left, above
SHADE = 0.35  # how much darker a facet gets that turns away from the light


def draw_surface(axes: Axes3D, field: Field, scale: Scale) -> None:
    """Draw the surface over the plane; x is alpha, y is beta, z the transformed value.

    Where too many points are missing for a surface, each computed point is a flat tile.
    Missing points are hatched on the floor.

    Args:
        axes: A 3-D axes.
        field: The values.
        scale: Limits and transform; values beyond a limit are drawn at the limit.
    """
    floor, top = scale.limits
    drawn = thin(field)
    facets = _surface(drawn, scale) if can_be_contoured(field) else _tiles(drawn, scale)
    if len(facets):
        colors = _shaded_colors(facets, field, scale)
        shape = Poly3DCollection(facets, facecolors=colors, edgecolors=colors, linewidths=0.5)
        shape.set_rasterized(True)  # ten thousand facets choke a vector viewer
        axes.add_collection3d(shape)
    for patch in missing_patches(drawn):
        _lay_on_floor(axes, patch, floor)
    _mark_center(axes, field, scale)
    axes.set_xlim(*_ends(field, field.alpha))
    axes.set_ylim(*_ends(field, field.beta))
    axes.set_zlim(floor, top)
    ticks = scale.levels(7) if len(facets) else []
    axes.set_zticks(scale.forward(np.array(ticks)), map(number_text, ticks))
    axes.view_init(elev=ELEVATION, azim=AZIMUTH)
    set_zoom(axes, 0.88)


def set_zoom(axes: Axes3D, zoom: float) -> None:
    """Set how much of its place the box fills; its labels need the rest."""
    axes.set_box_aspect((1, 1, 0.72), zoom=zoom)


def thin(field: Field) -> Field:
    """Return the points that facets are drawn between: not all along an axis of too many."""
    return thinned(field, LARGEST_SIZE)


def _surface(field: Field, scale: Scale) -> np.ndarray:
    """Return the corners of all facets between computed points, shape (k, 4, 3)."""
    heights = scale.heights(field.values)
    parts = max(1, SMOOTH_SIZE // max(heights.shape))
    i, j = np.nonzero(complete_cells(field.values))
    steps = np.linspace(0, 1, parts + 1)
    u, v = (grid[None] for grid in np.meshgrid(steps, steps, indexing="ij"))  # (1, p+1, p+1)
    i, j = i[:, None, None], j[:, None, None]
    x = field.alpha[i] * (1 - u) + field.alpha[i + 1] * u + 0 * v
    y = field.beta[j] * (1 - v) + field.beta[j + 1] * v + 0 * u
    near = heights[i, j] * (1 - u) + heights[i + 1, j] * u
    far = heights[i, j + 1] * (1 - u) + heights[i + 1, j + 1] * u
    points = np.stack([x, y, near * (1 - v) + far * v], axis=-1)  # (cells, p+1, p+1, 3)
    ring = [points[:, :-1, :-1], points[:, 1:, :-1], points[:, 1:, 1:], points[:, :-1, 1:]]
    return np.stack(ring, axis=3).reshape(-1, 4, 3)


def _tiles(field: Field, scale: Scale) -> np.ndarray:
    """Return one level square for each computed point, shape (k, 4, 3)."""
    x, y = cell_edges(field.alpha), cell_edges(field.beta)
    i, j = np.nonzero(np.isfinite(field.values))
    z = scale.heights(field.values[i, j])
    ring = [(x[i], y[j], z), (x[i + 1], y[j], z), (x[i + 1], y[j + 1], z), (x[i], y[j + 1], z)]
    return np.array(ring).transpose(2, 0, 1)


def _shaded_colors(facets: np.ndarray, field: Field, scale: Scale) -> np.ndarray:
    """Return one colour per facet, darker where it turns from the light, shape (k, 4)."""
    low, high = scale.limits
    colors = colormap()(scale.norm(facets[:, :, 2].mean(axis=1)))
    spans = [np.ptp(field.alpha) or 1.0, np.ptp(field.beta) or 1.0, 2 * (high - low)]
    corners = facets / np.array(spans)
    normal = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    facing = np.abs((normal / np.where(length > 0, length, 1)) @ LIGHT)
    colors[:, :3] *= (1 - SHADE + SHADE * facing)[:, None]
    return colors


def _lay_on_floor(axes: Axes3D, patch: PathPatch, floor: float) -> None:
    axes.add_artist(patch)
    pathpatch_2d_to_3d(patch, z=floor, zdir="z")


def _mark_center(axes: Axes3D, field: Field, scale: Scale) -> None:
    index = center_index(field)
    if index is not None and np.isfinite(field.values[index]):
        height = scale.heights(field.values[index])
        axes.plot([0], [0], [float(height)], zorder=10, **CENTER_MARK)


def _ends(field: Field, axis: np.ndarray) -> tuple[float, float]:
    """Return the limits of an axis: with the outer halves of the cells where cells are drawn."""
    has_cells = not can_be_contoured(field) or any(m.any() for m in field.missing.values())
    edges = cell_edges(axis) if has_cells else axis
    return float(min(edges)), float(max(edges))
