"""A 3-D axes whose box and labels fill their place: matplotlib's own leaves a third of it empty."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.transforms import Bbox
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.proj3d import proj_transform

PASSES = 4  # labels keep their size while the box grows: each pass halves what is off, or better
FIRST_ROOM_PT = 30.0  # for labels on each side, before they are measured
SMALLEST_SHARE = 0.3  # of the place's width and height that the box keeps, however long its labels


class SolidAxes(Axes3D):
    """A 3-D axes that takes its whole place.

    `frame` measures the labels; every draw fits the projected box into what they leave.
    """

    room_pt: tuple[float, float, float, float] = (FIRST_ROOM_PT,) * 4  # left, right, bottom, top
    held: float | None = None  # size of a pixel in the projection, the same for all views

    def apply_aspect(self, position: Any = None) -> None:
        """Take the whole place, and choose what part of the picture it shows."""
        own: Any = self
        own._set_position(position or self.get_position(original=True), "active")
        middle = self._projected_box().mean(axis=0)
        pixels = np.array([self.bbox.width, self.bbox.height])
        left, right, bottom, top = self._room()
        unit = self._fitting_unit() if self.held is None else self.held
        shift = unit * np.array([left - right, bottom - top]) / 2
        low, high = middle - shift - unit * pixels / 2, middle - shift + unit * pixels / 2
        self.viewLim.intervalx, self.viewLim.intervaly = (low[0], high[0]), (low[1], high[1])

    def frame(self, renderer: Any) -> None:
        """Measure the labels, so that the box fills what they leave."""
        for _ in range(PASSES):
            self.apply_aspect()
            inner, outer = self._box_and_labels(renderer)
            room = np.abs(np.subtract(outer.extents, inner.extents)) * 72 / self.figure.dpi
            left, bottom, right, top = room.tolist()
            self.room_pt = (left, right, bottom, top)
        self.apply_aspect()

    def hold(self, renderer: Any, views: Sequence[tuple[float, float]]) -> None:
        """Fit the box for several views at once: as it turns it neither grows nor is it cut.

        Args:
            renderer: Measures the labels.
            views: Elevation and azimuth of each, in degrees; the first one stays set.
        """
        rooms, units = [], []
        for elevation, azimuth in views:
            self.view_init(elevation, azimuth)
            self.frame(renderer)
            rooms.append(self.room_pt)
        left, right, bottom, top = np.max(rooms, axis=0).tolist()
        self.room_pt = (left, right, bottom, top)
        for elevation, azimuth in [*views, views[0]]:
            self.view_init(elevation, azimuth)
            units.append(self._fitting_unit())
        self.held = max(units)

    def get_tightbbox(self, renderer: Any = None, **_: Any) -> Bbox:
        """Return the place with titles and legend: labels lie inside it, and need no margin."""
        self.apply_aspect()
        texts = [text for text in (self.title, *self.texts) if text.get_text()]
        legend = [self.get_legend()] if self.get_legend() else []
        around = [artist.get_tightbbox(renderer) for artist in (*texts, *legend)]
        return Bbox.union([self.bbox, *filter(None, around)])

    def _room(self) -> list[float]:
        """Return the room for labels on the left, the right, below and above, in pixels."""
        return [pt * self.figure.dpi / 72 for pt in self.room_pt]

    def _fitting_unit(self) -> float:
        """Return how much of the projection a pixel shows, so that the box fits."""
        box, (left, right, bottom, top) = self._projected_box(), self._room()
        pixels = np.array([self.bbox.width, self.bbox.height])
        free = np.maximum(pixels - [left + right, bottom + top], SMALLEST_SHARE * pixels)
        return float(((box[1] - box[0]) / free).max())

    def _projected_box(self) -> np.ndarray:
        """Return the smallest and largest x and y of the projected box, shape (2, 2)."""
        corners = np.array(list(product(self.get_xlim(), self.get_ylim(), self.get_zlim())))
        x, y, _ = proj_transform(*corners.T, self.get_proj())
        return np.array([[np.min(x), np.min(y)], [np.max(x), np.max(y)]])

    def _box_and_labels(self, renderer: Any) -> tuple[Bbox, Bbox]:
        """Return where the box lies, and where it lies with its labels, in pixels."""
        own: Any = self
        own.M = self.get_proj()
        inner = Bbox(self.transData.transform(self._projected_box()))
        axes = [axis.get_tightbbox(renderer) for axis in (self.xaxis, self.yaxis, own.zaxis)]
        return inner, Bbox.union([inner, *filter(None, axes)])
