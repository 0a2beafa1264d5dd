"""What a surface hides in a 3-D view: by the line from each place to the eye."""

from __future__ import annotations

from typing import Any

import numpy as np
from mpl_toolkits.mplot3d.art3d import Line3D

TOUCH = 0.004  # of the height of the box: a line that only grazes the surface is not cut by it
AT_ONCE = 1000  # lines of sight: bounds the memory to some megabytes
STEPS = 400  # along a line of sight: the finer grid's points


def eye_of(projection: np.ndarray) -> np.ndarray:
    """Return where the camera of a perspective stands, in the coordinates of the data, (3,).

    Args:
        projection: The matrix of an Axes3D, shape (4, 4).
    """
    place = np.linalg.svd(projection[[0, 1, 3]])[2][-1]
    return np.asarray(place[:3] / place[3])


def is_hidden(
    points: np.ndarray,
    alpha: np.ndarray,
    beta: np.ndarray,
    heights: np.ndarray,
    eye: np.ndarray,
    is_on: bool = False,
) -> np.ndarray:
    """Return which points the surface hides: their line to the eye goes from one side to the other.

    A point on the surface is on the side that the eye is on, above or below: the outside of a
    valley does not show what lies at its bottom.

    Args:
        points: Places on the surface or off it, shape (k, 3).
        alpha: Coordinates of axis 0 of the surface, ascending, shape (n,).
        beta: Coordinates of axis 1, shape (m,).
        heights: Of the surface, NaN in its holes, shape (n, m).
        eye: Where the camera stands, shape (3,).
        is_on: Whether the points lie on the surface.
    """
    if not np.isfinite(heights).any():
        return np.zeros(len(points), dtype=bool)
    if len(points) > AT_ONCE:
        some = np.array_split(points, -(-len(points) // AT_ONCE))
        return np.concatenate([is_hidden(p, alpha, beta, heights, eye, is_on) for p in some])
    way = eye - points  # (k, 3)
    ends = [_exit(points[:, k], way[:, k], axis) for k, axis in enumerate((alpha, beta))]
    reach = np.minimum(np.minimum(*ends), 1.0)
    line = points[:, None] + way[:, None] * (reach[:, None] * _steps())[:, :, None]  # (k, s, 3)
    above = line[:, :, 2] - _heights_at(line, alpha, beta, heights)
    touch = TOUCH * (np.nanmax(heights) - np.nanmin(heights))
    over, under = (above > touch).any(axis=1), (above < -touch).any(axis=1)
    if not is_on:
        return np.asarray(over & under)
    return np.asarray(over if eye[2] < np.nanmin(heights) else under)


class SightedLine(Line3D):
    """Marks, or a broken line, of which only what the surface does not hide is drawn."""

    def __init__(self, points: np.ndarray, relief: Any, is_on: bool = False, **style: Any) -> None:
        """Keep the places.

        Args:
            points: Shape (k, 3); a NaN breaks the line.
            relief: What hides them: alpha, beta, heights (`relief.Relief`), or None.
            is_on: Whether the places lie on the surface.
            style: Of a Line3D.
        """
        super().__init__(*points.T, **style)
        self._points, self._relief, self._is_on = points, relief, is_on

    def hidden(self, projection: np.ndarray) -> np.ndarray:
        """Return which places are hidden in a view, shape (k,)."""
        relief, there = self._relief, np.isfinite(self._points).all(axis=1)
        hidden = ~there
        if relief is not None and there.any():
            ground = relief.alpha, relief.beta, relief.heights
            hidden[there] = is_hidden(self._points[there], *ground, eye_of(projection), self._is_on)
        return hidden

    def draw(self, renderer: Any) -> None:
        """Draw what the view of this moment shows."""
        axes: Any = self.axes
        shown = np.where(self.hidden(axes.get_proj())[:, None], np.nan, self._points)
        self.set_data_3d(*shown.T)
        super().draw(renderer)


def _steps() -> np.ndarray:
    """Return shares of a line of sight, closer together near the place: there ridges are close."""
    return np.asarray(np.linspace(0, 1, STEPS)[1:] ** 1.5)


def _exit(start: np.ndarray, way: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Return the share of each way at which it leaves the range of an axis."""
    border = np.where(way > 0, axis[-1], axis[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (border - start) / way
    return np.where(way == 0, 1.0, share)


def _heights_at(
    line: np.ndarray, alpha: np.ndarray, beta: np.ndarray, heights: np.ndarray
) -> np.ndarray:
    """Return the surface under places, linear inside its cells; NaN above holes."""
    i, u = _cell(line[:, :, 0], alpha)
    j, v = _cell(line[:, :, 1], beta)
    near = heights[i, j] * (1 - u) + heights[i + 1, j] * u
    far = heights[i, j + 1] * (1 - u) + heights[i + 1, j + 1] * u
    return np.asarray(near * (1 - v) + far * v)


def _cell(place: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    index = np.interp(place, axis, np.arange(len(axis)))
    low = np.minimum(index.astype(int), len(axis) - 2)
    return low, index - low
