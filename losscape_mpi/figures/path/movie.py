"""The frames of a training: its path growing over the surface beside the decision regions.

All that stands still is drawn once; a frame copies it and draws what moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from losscape_mpi.errors import UserError
from losscape_mpi.figures import caption, margin
from losscape_mpi.figures.field import make_field, name_of_place
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.colorbar import add_color_bar
from losscape_mpi.figures.map.lattice import fit_to_pixels
from losscape_mpi.figures.path.panels import MapPanel, RegionPanel, Regions
from losscape_mpi.figures.path.strip import draw_strip
from losscape_mpi.figures.path.words import clock_of, path_notes
from losscape_mpi.figures.scale_choice import scale_of
from losscape_mpi.figures.style import plot_settings
from losscape_mpi.figures.text import short
from losscape_mpi.store.surface import Surface, Trajectory

SIZE, SIZE_ALONE = (10.0, 5.2), (6.4, 5.2)  # inches, with and without regions
DPI = 100


def path_frames(
    surface: Surface,
    path: Trajectory,
    column: str,
    look: Look,
    regions: Regions | None = None,
    shown: Sequence[int] | None = None,
) -> Iterator[np.ndarray]:
    """Yield the frames of a path that grows over a surface, uint8 (520, 1000, 3) at usual size.

    Left the map with the path up to the checkpoint, right its decision regions, below its own loss
    beside that of its projection. Scales and places are the same in all frames.

    Args:
        surface: A 2-D surface.
        path: A path on its plane.
        column: What the map shows, such as "train/loss".
        look: Scale, limits, levels, size, title and style.
        regions: Decision regions of the shown checkpoints; None draws the map alone.
        shown: Indices of the checkpoints that have a frame; None takes all.

    Raises:
        UserError: If the surface is a profile or lacks the column.
    """
    if surface.is_line:
        raise UserError(f"{surface.path} is {name_of_place(surface)}; expected a plane for a movie")
    chosen = range(len(path.labels)) if shown is None else shown
    with plot_settings(look.style):
        stage = _Stage(surface, path, column, look, regions)
        if regions is None:
            yield from map(stage.frame, chosen, repeat(None))
            return
        for index, probabilities in zip(chosen, regions.probabilities, strict=True):
            yield stage.frame(index, probabilities)


class _Stage:
    """The figure of all frames; what stands still is kept as pixels."""

    def __init__(
        self, surface: Surface, path: Trajectory, column: str, look: Look, regions: Regions | None
    ) -> None:
        self._path, self._clock = path, clock_of(path)[1]
        whole = make_field(surface, column)
        field, scale = fit_to_pixels(whole), scale_of(whole.finite, whole.about, look)
        size = look.size or (SIZE_ALONE if regions is None else SIZE)
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        self._canvas = FigureCanvasAgg(figure)
        # The second column keeps the strip's right axis off the colour bar where nothing else does.
        widths = [1.0, 0.02] if regions is None else [1.2, 1.0]
        grid = figure.add_gridspec(2, 2, height_ratios=[5, 1], width_ratios=widths)
        left = figure.add_subplot(grid[0, 0])
        self._map = MapPanel(left, surface, field, scale)
        add_color_bar(figure, [left], [field], scale)
        self._regions = None
        if regions is not None:
            self._regions = RegionPanel(figure.add_subplot(grid[0, 1]), surface, regions)
        self._strip = figure.add_subplot(grid[1, :])
        self._cursor = draw_strip(self._strip, path, field, scale.kind)
        parts = caption.title_parts(surface, field.about.split)
        title = [short(look.title, 300)] if look.title else parts
        margin.write(figure, title, path_notes(path, whole))
        # Laid out once, so that nothing jumps.
        self._canvas.draw()
        figure.set_layout_engine("none")
        self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(figure.bbox)

    def frame(self, index: int, probabilities: np.ndarray | None) -> np.ndarray:
        """Return the frame of a checkpoint, uint8 (height, width, 3)."""
        self._canvas.restore_region(self._still)
        self._map.show(self._path, index)
        if self._regions is not None and probabilities is not None:
            self._regions.show(self._path, index, probabilities)
        self._cursor.set_xdata([self._clock[index]] * 2)
        self._strip.draw_artist(self._cursor)
        return np.array(self._canvas.buffer_rgba())[:, :, :3]
