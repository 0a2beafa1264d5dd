"""The two panels of a path's movie: what moves in them is drawn over what stands still."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from losscape_mpi.figures.field import Field
from losscape_mpi.figures.map.contour import draw_filled
from losscape_mpi.figures.path.regions import draw_regions, draw_samples, region_image
from losscape_mpi.figures.path.words import axis_label, map_title, regions_title
from losscape_mpi.figures.scale import Scale, number_text
from losscape_mpi.store.surface import Surface, Trajectory

HALO = [withStroke(linewidth=3.5, foreground="white")]


@dataclass(frozen=True, eq=False)
class Regions:
    """Decision regions of the checkpoints of a path.

    Attributes:
        x: First input on the lattice, shape (n,).
        y: Second input, shape (m,).
        points: Training samples, shape (s, 2).
        labels: Their classes, shape (s,).
        num_classes: Number of classes.
        probabilities: One array (n, m, classes) for each frame, in order.
    """

    x: np.ndarray
    y: np.ndarray
    points: np.ndarray
    labels: np.ndarray
    num_classes: int
    probabilities: Iterable[np.ndarray]


class MapPanel:
    """A map with a path that grows."""

    def __init__(self, axes: Axes, surface: Surface, field: Field, scale: Scale) -> None:
        """Draw the map; the path comes with `show`."""
        self._axes, self._field = axes, field
        draw_filled(axes, field, scale)
        axes.set_xlabel(axis_label(surface, "alpha"), fontsize="small")
        axes.set_ylabel(axis_label(surface, "beta"), fontsize="small")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
            axis.set_major_formatter(lambda value, _: number_text(value))
        (self._way,) = axes.plot([], [], "-", color="black", lw=1.3, zorder=5, path_effects=HALO)
        (self._dots,) = axes.plot([], [], "o", color="black", markersize=2.4, zorder=6)
        head: dict[str, Any] = {
            "markerfacecolor": "#F0E442",
            "markeredgecolor": "black",
            "markersize": 9,
        }
        (self._head,) = axes.plot([], [], "o", zorder=7, **head)
        self._title = axes.set_title("\n", loc="left", fontsize="small", parse_math=False)
        self._moving = (self._way, self._dots, self._head, self._title)
        for artist in self._moving:
            artist.set_animated(True)

    def show(self, path: Trajectory, index: int) -> None:
        """Draw the path up to a checkpoint, and its numbers."""
        for line in (self._way, self._dots):
            line.set_data(path.alpha[: index + 1], path.beta[: index + 1])
        self._head.set_data(path.alpha[index : index + 1], path.beta[index : index + 1])
        self._title.set_text(map_title(path, self._field, index))
        for artist in self._moving:
            self._axes.draw_artist(artist)


class RegionPanel:
    """Decision regions that change under the training samples."""

    def __init__(self, axes: Axes, surface: Surface, regions: Regions) -> None:
        """Draw frame and labels; regions and samples come with `show`."""
        self._axes, self._surface = axes, surface
        self._image = draw_regions(axes, regions.x, regions.y)
        draw_samples(axes, regions.points, regions.labels, regions.num_classes)
        self._title = axes.set_title("\n", loc="left", fontsize="small", parse_math=False)
        above = [*axes.lines, *axes.spines.values()]
        self._moving = (self._image, *above, self._title)
        for artist in self._moving:
            artist.set_animated(True)

    def show(self, path: Trajectory, index: int, probabilities: np.ndarray) -> None:
        """Draw the regions of a checkpoint, with the samples over them."""
        self._image.set_data(region_image(probabilities))
        self._title.set_text(regions_title(path, self._surface, index))
        for artist in self._moving:
            self._axes.draw_artist(artist)
