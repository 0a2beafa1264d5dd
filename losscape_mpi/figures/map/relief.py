"""The surface of a 3-D picture, smoothly shaded: triangles from the far end to the near one.

matplotlib's plot_surface leaves points out by itself, shades whole facets by the data's units and
sorts them by their depth. Here every cell between four computed points is drawn and no other,
colours run on from corner to corner, and what is nearer covers what is behind it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist, allow_rasterization
from matplotlib.colors import Colormap
from matplotlib.transforms import IdentityTransform
from mpl_toolkits.mplot3d.proj3d import proj_transform

from losscape_mpi.figures.field import complete_cells
from losscape_mpi.figures.map.refinement import slopes
from losscape_mpi.figures.map.sight import eye_of
from losscape_mpi.figures.scale import Scale

LIGHT = np.array([-0.55, -0.45, 0.7])  # from the left of the usual view, above
DARKEST, GLOSS, SHARPNESS = 0.45, 0.14, 20  # what shade leaves of a colour, and the white of light
STEEPNESS = 0.72  # height of the box over its width, for the light


class Relief(Artist):
    """A shaded surface; in a 3-D axes only.

    Attributes:
        alpha: Coordinates of axis 0, ascending, shape (n,).
        beta: Coordinates of axis 1, shape (m,).
        heights: What is drawn, NaN in holes, shape (n, m).
        colors: Shaded, red green blue alpha, shape (n, m, 4).
    """

    def __init__(
        self, alpha: np.ndarray, beta: np.ndarray, heights: np.ndarray, colors: np.ndarray
    ) -> None:
        """Keep what is drawn."""
        super().__init__()
        self.alpha, self.beta, self.heights, self.colors = alpha, beta, heights, colors
        self.set_rasterized(True)  # a hundred thousand triangles choke a vector viewer

    @allow_rasterization
    def draw(self, renderer: Any) -> None:
        """Draw all triangles, the farthest first."""
        axes: Any = self.axes
        if not self.get_visible() or axes is None:
            return
        projection = axes.get_proj()
        x, y = np.meshgrid(self.alpha, self.beta, indexing="ij")
        heights = np.nan_to_num(self.heights)
        flat = proj_transform(x.ravel(), y.ravel(), heights.ravel(), projection)[:2]
        pixels = axes.transData.transform(np.column_stack(flat)).reshape(*x.shape, 2)
        i, j = self._far_to_near(eye_of(projection))
        corners = _triangles(i, j)
        gc = renderer.new_gc()
        renderer.open_group("relief")
        renderer.draw_gouraud_triangles(
            gc, pixels[corners], self.colors[corners], IdentityTransform()
        )
        renderer.close_group("relief")
        gc.restore()
        self.stale = False

    def _far_to_near(self, eye: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the complete cells' indices; a cell comes after all that it may hide.

        Of two cells that a line of sight crosses, the middle of the first is nearer to the eye
        along both axes, wherever the line runs up or down.
        """
        i, j = np.nonzero(complete_cells(self.heights))
        far = np.zeros(len(i))
        for axis, index, place in ((self.alpha, i, eye[0]), (self.beta, j, eye[1])):
            middle = (axis[index] + axis[index + 1]) / 2
            far += ((middle - place) / (np.ptp(axis) or 1.0)) ** 2
        order = np.argsort(-far, kind="stable")
        return i[order], j[order]


def shaded(
    alpha: np.ndarray, beta: np.ndarray, heights: np.ndarray, scale: Scale, colormap: Colormap
) -> np.ndarray:
    """Return colours of heights on a scale, darker where they turn from the light, (n, m, 4)."""
    low, high = scale.limits
    colors = colormap(scale.norm(np.nan_to_num(heights, nan=low)))
    lifted = heights * (STEEPNESS / (high - low))
    along_x = slopes(lifted, alpha / (np.ptp(alpha) or 1.0), 0)
    along_y = slopes(lifted, beta / (np.ptp(beta) or 1.0), 1)
    normal = np.stack([-along_x, -along_y, np.ones_like(along_x)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    facing = normal @ (LIGHT / np.linalg.norm(LIGHT))
    bright = DARKEST + (1 - DARKEST) * (0.5 + 0.5 * facing)[..., None] ** 1.5
    shine = GLOSS * np.clip(facing, 0, 1)[..., None] ** SHARPNESS
    colors[..., :3] = np.clip(colors[..., :3] * bright * (1 - shine) + shine, 0, 1)
    return np.asarray(colors)


def _triangles(i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of the three corners of both triangles of cells, (2 k, 3) each."""
    rows = np.stack([i, i + 1, i + 1, i, i + 1, i], axis=1).reshape(-1, 3)
    columns = np.stack([j, j, j + 1, j, j + 1, j + 1], axis=1).reshape(-1, 3)
    return rows, columns
