"""The figure of a training path on a plane, with how far off the plane it runs.

The height under a path is not the path's loss (arXiv:1712.09913 draws it so): each checkpoint
shows its out-of-plane residual and the gap between its own loss and that of its projection.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from losscape_mpi.errors import UserError
from losscape_mpi.figures import caption, margin
from losscape_mpi.figures.aside import aside_notes
from losscape_mpi.figures.column import column_named
from losscape_mpi.figures.drawing import Drawing
from losscape_mpi.figures.field import Field, make_field
from losscape_mpi.figures.fit import fit
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.colorbar import add_color_bar, values_label
from losscape_mpi.figures.map.contour import draw_contour
from losscape_mpi.figures.map.lattice import fit_to_pixels
from losscape_mpi.figures.map.resolution import unresolved_legend
from losscape_mpi.figures.marks import missing_legend
from losscape_mpi.figures.path.checkpoint_axis import name_checkpoints, set_gap_scale
from losscape_mpi.figures.path.notes import trajectory_notes
from losscape_mpi.figures.scale import Scale, number_text
from losscape_mpi.figures.scale_choice import scale_of
from losscape_mpi.figures.sheet import Sheet, make_sheet
from losscape_mpi.figures.style import LOSS_COLOR, plot_settings, text_size
from losscape_mpi.figures.text import short
from losscape_mpi.figures.tile import Tile, shared_scale
from losscape_mpi.store.surface import Surface, Trajectory

RESIDUAL_COLORS = LinearSegmentedColormap.from_list("residual", ["#ffffff", "#F0A63A", "#7A1F00"])
MARKERS = ("o", "s", "D", "^")  # one for each path
WIDE = 1.3  # width over height from which the curves stand beside the map
RATIO, TALL_RATIO = 0.9, 1.3  # height over width of the map in a preset; beside the curves


def draw(drawing: Drawing) -> Figure:
    """Return the figure of one surface and one column; see `trajectory_figure`."""
    (surface,), (metric,), (split,) = drawing.surfaces, drawing.metrics, drawing.splits
    column, scale = column_named(surface, metric, split), None
    if drawing.shared:
        scale = shared_scale([Tile(other, column) for other in drawing.shared], drawing.look)
    return trajectory_figure(surface, column, drawing.look, scale)


def trajectory_figure(
    surface: Surface, column: str, look: Look, scale: Scale | None = None
) -> Figure:
    """Return a surface's contours with its training paths, their residuals and loss gaps.

    Args:
        surface: A 2-D surface with at least one trajectory.
        column: What the contours show, such as "train/loss".
        look: Scale, limits, levels, size and style.
        scale: A scale shared with other figures; None makes one from this surface.

    Raises:
        UserError: If the surface has no trajectory or not the column.
    """
    if not surface.trajectories:
        raise UserError(
            f"{surface.path} holds no trajectory; expected a file of a study with training "
            "checkpoints: draw it as contour"
        )
    paths = dict(list(surface.trajectories.items())[: len(MARKERS)])
    with plot_settings(look.style):
        whole = make_field(surface, column)
        scale = scale or scale_of(whole.finite, whole.about, look)
        field = fit_to_pixels(whole)
        figure = make_sheet(look, (6.2, 7.9))
        top, middle, low = _places(figure, look)
        draw_contour(top, field, scale)
        draw_paths(top, paths)
        _label(top, surface, field, scale, len(paths) > 1, look)
        if look.has_color_bar:
            add_color_bar(figure, [top], [field], scale, has_lines=True, look=look)
        _draw_residuals(middle, paths)
        gaps = {name: gap_of(path, column) for name, path in paths.items()}
        _draw_gaps(low, paths, gaps, field)
        title, notes = margin.panel_words([Tile(surface, column)], [field], look.title)
        is_letter = look.has_letters_alone()
        notes = trajectory_notes(paths, gaps, field) + notes + aside_notes([surface], is_letter)
        what = f"{values_label([field], scale, look)} with training paths"
        margin.write(figure, title, notes, look, what, is_letter)
        fit(figure, [top, middle, low], look, _ratio(top, middle))
    return figure


def _ratio(top: Axes, middle: Axes) -> float:
    is_beside = middle.get_position().x0 > top.get_position().x1
    return TALL_RATIO if is_beside else RATIO


def _places(sheet: Sheet, look: Look) -> tuple[Axes, Axes, Axes]:
    """Return the axes of the map, the residuals and the gaps: below each other, or map left."""
    width, height = look.asked_size or (6.2, 7.9)
    if look.paper and not look.asked_size:
        width, height = look.paper.width, look.paper.tallest
    if width > WIDE * height:
        places = sheet.subplot_mosaic([["map", "residual"], ["map", "gap"]], width_ratios=[1.3, 1])
        return places["map"], places["residual"], places["gap"]
    top, middle, low = sheet.subplots(3, 1, height_ratios=[4 if look.paper else 5.2, 1, 1])
    return top, middle, low


def draw_paths(axes: Axes, paths: dict[str, Trajectory]) -> None:
    """Draw paths over a map: a line in the order of training, points coloured by residual.

    Args:
        axes: A map; x is alpha and y is beta. Its limits stay as they are.
        paths: By name; each gets a marker of its own.
    """
    outline = [withStroke(linewidth=3, foreground="white")]
    for (full, path), marker in zip(paths.items(), MARKERS, strict=False):
        name = short(full, 40)
        axes.plot(path.alpha, path.beta, "-", color="black", lw=1, zorder=5, path_effects=outline)
        style: dict[str, Any] = {"cmap": RESIDUAL_COLORS, "norm": Normalize(0, 1), "marker": marker}
        points = axes.scatter(path.alpha, path.beta, c=path.residual, label=name, **style)
        points.set(zorder=6, edgecolor="black", linewidth=0.7, sizes=[34])
        axes.scatter(path.alpha[:1], path.beta[:1], s=110, fc="none", ec="black", zorder=6)


def gap_of(path: Trajectory, column: str) -> np.ndarray:
    """Return value at the checkpoint minus value at its projection, NaN where not known, (t,)."""
    unknown = np.full(len(path.alpha), np.nan)
    own, plane = path.values.get(column, unknown), path.plane_values.get(column, unknown)
    return np.asarray(own, dtype=np.float64) - np.asarray(plane, dtype=np.float64)


def _label(
    axes: Axes, surface: Surface, field: Field, scale: Scale, has_names: bool, look: Look
) -> None:
    for axis, name in ((axes.xaxis, "alpha"), (axes.yaxis, "beta")):
        axis.set_label_text(
            caption.GREEK[name] if look.has_letters_alone() else caption.axis_label(surface, name)
        )
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(lambda value, _: number_text(value))
    entries: list[Any] = missing_legend(field.missing, field.whole)
    entries += unresolved_legend(field, scale)
    entries += list(axes.get_legend_handles_labels()[0]) if has_names else []
    if entries:
        axes.legend(handles=entries, loc="upper left", framealpha=0.85)


def _draw_residuals(axes: Axes, paths: dict[str, Trajectory]) -> None:
    for path, marker in zip(paths.values(), MARKERS, strict=False):
        steps = np.arange(len(path.residual))
        axes.plot(steps, path.residual, "-", color="0.6", linewidth=0.8)
        style: dict[str, Any] = {"cmap": RESIDUAL_COLORS, "norm": Normalize(0, 1), "marker": marker}
        points = axes.scatter(steps, path.residual, c=path.residual, s=26, zorder=3, **style)
        points.set(edgecolor="black", linewidth=0.6, clip_on=False)
    axes.set_ylim(0, 1)
    axes.set_ylabel("out-of-plane\nresidual", fontsize=text_size("small"))
    axes.grid(axis="y", color="0.9")
    axes.tick_params(labelbottom=False)
    axes.set_xlim(-0.5, max(len(path.labels) for path in paths.values()) - 0.5)


def _draw_gaps(
    axes: Axes, paths: dict[str, Trajectory], gaps: dict[str, np.ndarray], field: Field
) -> None:
    for gap, marker in zip(gaps.values(), MARKERS, strict=False):
        steps = np.arange(len(gap))
        axes.vlines(steps, 0, gap, color=LOSS_COLOR, linewidth=1)
        axes.plot(steps, gap, marker, color=LOSS_COLOR, markersize=4)
    set_gap_scale(axes, np.concatenate(list(gaps.values())))
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.set_ylabel(f"{short(field.about.quantity, 40)} gap", fontsize=text_size("small"))
    axes.set_xlim(-0.5, max(len(gap) for gap in gaps.values()) - 0.5)
    name_checkpoints(axes, max((path.labels for path in paths.values()), key=len))
