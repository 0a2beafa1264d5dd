"""Figures of a training path as a surface: each quantity over time, training and test together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from losscape_mpi.figures import margin
from losscape_mpi.figures.axis import set_scale
from losscape_mpi.figures.caption import axis_letter
from losscape_mpi.figures.drawing import Drawing
from losscape_mpi.figures.field import Field
from losscape_mpi.figures.fit import fit
from losscape_mpi.figures.key import write_key
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.marks import legend_below, missing_legend, missing_strips, united
from losscape_mpi.figures.path.quantity import fields_of, scale_of_curves, shown
from losscape_mpi.figures.scale import Scale, number_text
from losscape_mpi.figures.sheet import Sheet, make_sheet
from losscape_mpi.figures.style import ACCURACY_COLOR, LOSS_COLOR, plot_settings, text_size
from losscape_mpi.figures.text import short
from losscape_mpi.figures.tile import Tile, in_rows, titles
from losscape_mpi.store.surface import Surface

# Splits differ by colour, line and marker: clear in grey, too.
STYLES = [(LOSS_COLOR, "-", "o"), (ACCURACY_COLOR, "--", "s"), ("0.25", ":", "^")]
LOG_RATIO = 20.0  # largest over smallest value from which a logarithmic axis reads better
MOST_IN_A_ROW = 3
MOST_MARKED = 60  # checkpoints; more markers would hide the line
PANEL = (3.7, 3.0)  # inches
RATIO = 0.7  # height over width of a preset's panel
NARROWEST = 16.0  # sizes of a letter that a panel of a preset needs


def draw(drawing: Drawing) -> Figure:
    """Return the figure of one or several paths; see `curve_figure`."""
    wishes = drawing.metrics, drawing.splits, drawing.look
    return curve_figure(drawing.surfaces, *wishes, drawing.shared)


def curve_figure(
    surfaces: Sequence[Surface],
    metrics: Sequence[str],
    splits: Sequence[str],
    look: Look,
    shared: Sequence[Surface] = (),
) -> Figure:
    """Return one panel for each quantity: its values at the checkpoints, ± 2 standard errors.

    An accuracy is drawn as the error in percent, another share in percent.

    Args:
        surfaces: Training paths; several of them stand below each other on the same scales.
        metrics: Quantities, at least one.
        splits: At most three; a split that lacks a quantity is left out of its panel.
        look: Scale, clipping and size; scale and limits hold for the first quantity.
        shared: Paths whose values set the scales; empty takes those of `surfaces`.

    Raises:
        UserError: If no split has a quantity, or nothing is computed yet.
    """
    with plot_settings(look.style):
        every = [[fields_of(surface, metric, splits) for metric in metrics] for surface in surfaces]
        spread = [[fields_of(s, metric, splits) for s in shared or surfaces] for metric in metrics]
        looks = [look, *[Look(paper=look.paper)] * (len(metrics) - 1)]
        scales = [scale_of_curves(list(chain(*s)), k) for s, k in zip(spread, looks, strict=True)]
        flat = [[field for fields in row for field in fields] for row in every]
        title, notes = margin.profile_words(surfaces, flat, look.title)
        is_fixed = len(surfaces) > 1 or bool(shared)
        figure, places = _axes(len(surfaces), len(metrics), look, notes)
        curves: list[Artist] = []
        for row, surface, panels in zip(places, surfaces, every, strict=True):
            for axes, fields, scale, own in zip(row, panels, scales, looks, strict=True):
                set_scale(axes, scale, is_fixed or look.limits is not None)
                curves += _draw_panel(axes, surface, fields, scale, splits, own)
        if len(surfaces) > 1:
            _write_titles(places, surfaces, flat)
        if look.paper:
            write_key(figure, curves)
        what = f"{', '.join(dict.fromkeys(field.words for field in flat[0]))} during a training"
        margin.write(figure, title, notes, look, what)
        fit(figure, list(chain(*places)), look, RATIO)
    return figure


def _write_titles(
    places: Sequence[Sequence[Axes]], surfaces: Sequence[Surface], flat: Sequence[Sequence[Field]]
) -> None:
    tiles = [Tile(s, fields[0].column) for s, fields in zip(surfaces, flat, strict=True)]
    for row, text in zip(places, titles(tiles), strict=True):
        row[0].set_title(text, parse_math=False, loc="left")


def _axes(
    num_rows: int, num_metrics: int, look: Look, notes: Sequence[str]
) -> tuple[Sheet, list[list[Axes]]]:
    """Return the figure and the axes of each surface."""
    most = look.paper.most_in_a_row(NARROWEST) if look.paper else MOST_IN_A_ROW
    most = min(most, MOST_IN_A_ROW)
    num_columns = len(in_rows(range(num_metrics), -(-num_metrics // most))[0])
    lines = -(-num_metrics // num_columns)
    width = PANEL[0] * max(num_columns, 1.5)
    height = PANEL[1] * num_rows * lines + 0.5 + margin.notes_height(notes, width)
    figure = make_sheet(look, (width, height))
    grid = figure.subplots(num_rows * lines, num_columns, squeeze=False)
    places = [list(grid[k * lines : (k + 1) * lines].flat) for k in range(num_rows)]
    for row in places:
        for axes in row[num_metrics:]:
            axes.set_axis_off()
    return figure, [row[:num_metrics] for row in places]


def _draw_panel(
    axes: Axes,
    surface: Surface,
    fields: Sequence[Field],
    scale: Scale,
    splits: Sequence[str],
    look: Look,
) -> list[Artist]:
    """Draw one quantity, and return what a legend of all panels must explain."""
    curves: list[Line2D] = []
    for field in fields:
        place = splits.index(field.about.split) if field.about.split in splits else 0
        curves += _draw_curve(axes, field, *STYLES[place], look.paper is not None)
    missing = united(fields)
    for patch in missing_strips(fields[0].alpha, missing):
        axes.add_patch(patch)
        patch.set_transform(axes.get_xaxis_transform())
    label = short(look.label, 80) if look.label else shown(fields[0])[2]
    axes.set_ylabel(f"{label}\n({scale.note})" if scale.note else label)
    if scale.kind == "log":
        axes.yaxis.set_major_formatter(lambda value, _: number_text(value))
    _label_time(axes, surface)
    axes.grid(True, which="major", linewidth=0.4, color="0.9")
    reasons = missing_legend(missing)
    if not look.paper:
        _add_legends(axes, curves, reasons)
    return [*curves, *reasons]


def _add_legends(axes: Axes, curves: Sequence[Line2D], reasons: Sequence[Artist]) -> None:
    _make_room(axes, 0.11 * len(curves))
    legend = axes.legend(
        handles=curves, loc="upper right", framealpha=0.85, edgecolor="none", borderaxespad=0.2
    )
    if reasons:
        axes.add_artist(legend)
        legend_below(axes, reasons, 3.6 * text_size("font.size"))


def _make_room(axes: Axes, share: float) -> None:
    """Raise the upper end of the values, so that a legend hides none of them."""
    if not axes.get_autoscaley_on():
        return  # a scale that several figures share
    low, high = axes.get_ylim()
    if axes.get_yscale() == "log":
        axes.set_ylim(low, high * (high / low) ** share)
    else:
        axes.set_ylim(low, high + share * (high - low))


def _draw_curve(
    axes: Axes, field: Field, color: str, line: str, marker: str, is_short: bool
) -> list[Line2D]:
    values, errors, _ = shown(field)
    there = np.flatnonzero(np.isfinite(values))
    name = short(field.about.split, 40)
    if len(there) and not (name and is_short):
        time = f"{short(field.axis_names[0], 40)} {field.alpha[there[-1]]:g}"
        last = f"{values[there[-1]]:.3g}".replace("-", "\N{MINUS SIGN}")
        name += f": {last} at {time}" if name else f"{last} at {time}"
    style: dict[str, Any] = {"color": color, "linestyle": line, "linewidth": 1.3, "markersize": 3.5}
    style["marker"] = marker if len(values) <= MOST_MARKED else None
    if errors is not None:
        band = 2 * errors
        axes.fill_between(
            field.alpha, values - band, values + band, color=color, alpha=0.2, linewidth=0
        )
    return axes.plot(field.alpha, values, label=name, **style)


def _label_time(axes: Axes, surface: Surface) -> None:
    """Name the axis; checkpoints without a clock stand by their own names where these fit."""
    times = surface.alpha
    room = 0.03 * float(np.ptp(times)) or 0.5
    axes.set_xlim(float(times.min()) - room, float(times.max()) + room)
    axes.set_xlabel(axis_letter(surface, "alpha"))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
