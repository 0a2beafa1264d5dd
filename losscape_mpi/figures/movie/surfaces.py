"""Movies: a camera flight around a surface, or surfaces one after another on one scale.

Frames are encoded by the ffmpeg that imageio-ffmpeg brings along; no other program is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from losscape_mpi.errors import UserError
from losscape_mpi.figures.field import can_be_contoured, cell_edges, make_field, name_of_place
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.lattice import fit_to_pixels
from losscape_mpi.figures.map.panel import map_figure
from losscape_mpi.figures.map.surface3d import AZIMUTH, ELEVATION
from losscape_mpi.figures.movie.file import check_movie_name, write_movie
from losscape_mpi.figures.style import plot_settings
from losscape_mpi.figures.tile import Tile, shared_scale
from losscape_mpi.store.surface import Surface

DPI = 120  # 720 x 740 pixels at the usual size
MEASURED = 12  # views of a turn whose labels are measured


def write_orbit(
    surface: Surface, column: str, path: Path, look: Look, frames: int = 90, fps: int = 30
) -> None:
    """Write a movie in which the camera goes once around the 3-D surface, at one height.

    The last frame is one step before the first, so that the movie runs on without a stop.

    Args:
        surface: A 2-D surface.
        column: Name such as "train/loss".
        path: File that ends in .gif or .mp4; replaced as a whole if it exists.
        look: As for a figure; `view` is the first frame's.
        frames: Number of pictures in one turn.
        fps: Pictures per second.

    Raises:
        UserError: If the surface cannot be drawn in 3-D, or the file cannot be written.
    """
    check_movie_name(path)
    _check_plane(surface)
    write_movie(_orbit(surface, column, look, frames), path, fps)


def write_series(
    surfaces: Sequence[Surface], column: str, path: Path, look: Look, fps: int = 4
) -> None:
    """Write a movie of several surfaces, such as those of a training's epochs, on one fixed scale.

    Args:
        surfaces: 2-D surfaces in the order of the frames.
        column: Name such as "train/loss".
        path: File that ends in .gif or .mp4; replaced as a whole if it exists.
        look: As for a figure; without limits, the scale covers the values of all surfaces.
        fps: Surfaces per second.

    Raises:
        UserError: If a surface cannot be drawn, they cannot share a scale, or the file cannot be
            written.
    """
    check_movie_name(path)
    if not surfaces:
        raise UserError("found no surface file; expected at least one for a movie")
    for surface in surfaces:
        _check_plane(surface)
    write_movie(_series(surfaces, column, look), path, fps)


def frame_of(figure: Figure, dpi: int = DPI) -> np.ndarray:
    """Return a figure as one picture for `write_movie`, uint8 of shape (height, width, 3)."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[:, :, :3]


def _orbit(surface: Surface, column: str, look: Look, frames: int) -> Iterator[np.ndarray]:
    elevation, azimuth = look.view or (ELEVATION, AZIMUTH)
    figure: Any = map_figure([surface], "surface", column, replace(look, is_alone=True))
    axes: Any = figure.axes[0]
    with plot_settings(look.style):
        _freeze(figure)
        views = [(elevation, azimuth + 360 * k / frames) for k in range(frames)]
        axes.hold(figure.canvas.get_renderer(), views[:: max(1, frames // MEASURED)])
        for k in range(frames):
            axes.view_init(*views[k])
            yield frame_of(figure)


def _series(surfaces: Sequence[Surface], column: str, look: Look) -> Iterator[np.ndarray]:
    tiles = [Tile(surface, column) for surface in surfaces]
    scale, (alpha_ends, beta_ends) = shared_scale(tiles, look), _box(tiles)
    # One with a legend leaves room for it in all frames.
    model = max(surfaces, key=lambda surface: _has_missing(surface, column))
    first: Any = None
    for surface in (model, *surfaces):
        alone = replace(look, is_alone=True)
        figure: Any = map_figure([surface], "surface", column, alone, scale)
        figure.axes[0].set(xlim=alpha_ends, ylim=beta_ends)
        with plot_settings(look.style):
            own = _freeze(figure)
            if first is None:
                first, places = figure, own
                continue
            for axes, place in zip(figure.axes, places, strict=True):
                axes.set_position(place)
            figure.axes[0].follow(first.axes[0])
            yield frame_of(figure)


def _has_missing(surface: Surface, column: str) -> bool:
    return any(mask.any() for mask in make_field(surface, column).missing.values())


def _box(tiles: Sequence[Tile]) -> list[tuple[float, float]]:
    """Return the limits of both axes that hold every frame, with the cells of missing points."""
    fields = [fit_to_pixels(make_field(tile.surface, tile.column)) for tile in tiles]
    is_whole = all(can_be_contoured(f) and np.isfinite(f.values).all() for f in fields)
    box = []
    for name in ("alpha", "beta"):
        axes = [getattr(field, name) for field in fields]
        ends = np.concatenate(axes if is_whole else [cell_edges(axis) for axis in axes])
        box.append((float(ends.min()), float(ends.max())))
    return box


def _freeze(figure: Figure) -> list[Any]:
    """Lay a figure out for the last time, so that frames do not jump; return its axes' places."""
    frame_of(figure)
    figure.set_layout_engine("none")
    return [axes.get_position() for axes in figure.axes]


def _check_plane(surface: Surface) -> None:
    if surface.is_line or min(surface.status.shape) < 2:
        raise UserError(f"{surface.path} is {name_of_place(surface)}; expected a plane for a movie")
