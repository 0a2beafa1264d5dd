"""Figures of 2-D surfaces: one map, or several side by side on one colour scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from losscape_mpi.errors import UserError
from losscape_mpi.figures import caption
from losscape_mpi.figures.contour import NUM_LINES, draw_contour, draw_filled
from losscape_mpi.figures.field import Field, make_field
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.marks import legend_below, missing_legend
from losscape_mpi.figures.scale import Scale, choose_scale, number_text
from losscape_mpi.figures.style import (
    COLORMAP,
    LABEL_SIZE,
    LEGEND_SIZE,
    TICK_SIZE,
    line_colormap,
)
from losscape_mpi.figures.surface3d import draw_surface, set_zoom, thin
from losscape_mpi.store.surface import Surface

LAYOUT_PASSES = 2  # axes of equal aspect with a legend get their final place at the third
DRAW: dict[str, Callable[[Any, Field, Scale], None]] = {
    "contour": draw_contour,
    "filled": draw_filled,
    "surface": draw_surface,
}


def map_figure(surfaces: Sequence[Surface], kind: str, column: str, look: Look) -> Figure:
    """Return the figure of one or several 2-D surfaces, all on the same colour scale.

    Args:
        surfaces: One surface, or those of a panel, in reading order.
        kind: contour (labelled lines), filled or surface (3-D).
        column: What to draw, such as "train/loss".
        look: Scale, clipping and size.

    Raises:
        UserError: If a surface lacks the column or any value, or the files cannot be compared.
    """
    _check_comparable(surfaces)
    fields = [make_field(surface, column) for surface in surfaces]
    values = np.concatenate([field.finite for field in fields])
    scale = choose_scale(values, look.scale, look.clip, bounded=column.endswith("/accuracy"))
    num_columns = len(fields) if len(fields) <= 4 else int(np.ceil(len(fields) ** 0.5))
    num_rows = -(-len(fields) // num_columns)
    figure = Figure(figsize=look.size or _size(num_rows, num_columns), layout="constrained")
    FigureCanvasAgg(figure)
    projection = {"projection": "3d"} if kind == "surface" else {}
    grid = figure.subplots(num_rows, num_columns, squeeze=False, subplot_kw=projection)
    for axes, surface, field in zip(grid.flat, surfaces, fields, strict=False):
        DRAW[kind](axes, field, scale)
        _label(axes, surface, field, kind)
    for axes in grid.flat[len(fields) :]:
        axes.set_axis_off()
    if len(surfaces) > 1:
        _write_subtitles(grid, surfaces, kind)
    if len(values):
        _color_bar(figure, grid, kind, column, scale)
    _write_words(figure, surfaces, fields, kind)
    _settle(figure, fields)
    return figure


def _settle(figure: Figure, fields: Sequence[Field]) -> None:
    engine = figure.get_layout_engine()
    if engine is not None and any(missing_legend(field.missing) for field in fields):
        for _ in range(LAYOUT_PASSES):
            engine.execute(figure)


def _size(num_rows: int, num_columns: int) -> tuple[float, float]:
    if num_columns == 1:
        return 6.0, 5.6
    notes = 0.24 * num_rows * num_columns  # two lines of small print for each file
    return 3.6 * num_columns + 1.2, 3.5 * num_rows + 0.7 + notes


def _check_comparable(surfaces: Sequence[Surface]) -> None:
    policies = {s.manifest["study"].get("evaluation", {}).get("batchnorm") for s in surfaces}
    if len(policies - {None}) > 1:
        raise UserError(
            f"found surfaces of different BatchNorm policies ({', '.join(sorted(policies))}); "
            "they must not share a scale: draw them without --panel"
        )


def _label(axes: Axes, surface: Surface, field: Field, kind: str) -> None:
    size, pad = (LABEL_SIZE - 1.5, 7) if kind == "surface" else (LABEL_SIZE, None)
    axes.set_xlabel(caption.axis_label(surface, "alpha"), fontsize=size, labelpad=pad)
    axes.set_ylabel(caption.axis_label(surface, "beta"), fontsize=size, labelpad=pad)
    axes.tick_params(labelsize=TICK_SIZE)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(lambda value, _: number_text(value))
    if kind != "surface" and np.isclose(
        np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim()), rtol=0.01
    ):
        axes.set_aspect("equal")
    entries = missing_legend(field.missing)
    if kind == "surface" and entries:  # its lower edge is full of labels, its corner is free
        axes.legend(handles=entries, loc="upper left", fontsize=LEGEND_SIZE, frameon=False)
    else:
        legend_below(axes, entries, 36)


def _color_bar(figure: Figure, grid: np.ndarray, kind: str, column: str, scale: Scale) -> None:
    cmap = line_colormap() if kind == "contour" else COLORMAP
    bar = figure.colorbar(
        ScalarMappable(scale.norm, cmap),
        ax=list(grid.flat),
        extend="max" if scale.is_clipped else "neither",
        shrink=0.7 if kind == "surface" else 0.95,
        aspect=28,
        pad=0.08 if kind == "surface" else 0.02,
    )
    ticks = scale.levels(NUM_LINES)
    bar.set_ticks(scale.forward(np.array(ticks)).tolist(), labels=list(map(number_text, ticks)))
    bar.ax.tick_params(labelsize=TICK_SIZE)
    bar.ax.minorticks_off()
    bar.set_label(caption.value_label(column, scale), fontsize=LABEL_SIZE)


def _write_words(
    figure: Figure, surfaces: Sequence[Surface], fields: Sequence[Field], kind: str
) -> None:
    split = fields[0].column.split("/")[0]
    titles = [caption.title_parts(surface, split) for surface in surfaces]
    shared = [part for part in titles[0] if all(part in title for title in titles)]
    notes = []
    for surface, field, title in zip(surfaces, fields, titles, strict=True):
        own = " · ".join(part for part in title if part not in shared)
        shown = thin(field).values.shape if kind == "surface" else field.values.shape
        thinned = f" · {shown[0]} × {shown[1]} drawn" * (shown != field.values.shape)
        notes.append(f"{own}: " * bool(own) + caption.range_text(field, "+ center") + thinned)
        notes.append(caption.settings_text(surface))
    notes += dict.fromkeys(caption.slice_note(surface) for surface in surfaces)
    caption.write(figure, shared, notes)


def _write_subtitles(grid: np.ndarray, surfaces: Sequence[Surface], kind: str) -> None:
    """Write the networks' names, with the studies' names where a network occurs twice."""
    models = [caption.model_name(surface) for surface in surfaces]
    for axes, surface, model in zip(grid.flat, surfaces, models, strict=False):
        study = str(surface.provenance.get("name", surface.path.stem))
        is_clear = models.count(model) == 1 or model == study
        text = model if is_clear else f"{model} · {study}"
        axes.set_title(text, fontsize=LABEL_SIZE, parse_math=False)
        if kind == "surface":
            set_zoom(axes, 0.78)
