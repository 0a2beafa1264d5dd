"""Figures of 1-D profiles: loss on the left axis, accuracy on the right."""

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

from losscape_mpi.figures import caption, margin
from losscape_mpi.figures.aside import aside_notes
from losscape_mpi.figures.axis import set_scale
from losscape_mpi.figures.column import columns_named
from losscape_mpi.figures.drawing import Drawing
from losscape_mpi.figures.field import Field, make_field
from losscape_mpi.figures.fit import fit
from losscape_mpi.figures.key import write_key
from losscape_mpi.figures.line.point import coordinates, marked_points
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.marks import legend_below, missing_legend, missing_strips, united
from losscape_mpi.figures.preset import USUAL_LINE
from losscape_mpi.figures.scale import Scale, number_text
from losscape_mpi.figures.scale_choice import scale_of
from losscape_mpi.figures.sheet import Sheet, make_sheet
from losscape_mpi.figures.style import ACCURACY_COLOR, LOSS_COLOR, plot_settings, text_size
from losscape_mpi.figures.text import short
from losscape_mpi.figures.tile import MOST_IN_A_ROW, Tile, in_rows, subtitle, titles
from losscape_mpi.store.surface import Surface

# Metrics differ by colour and marker, splits by line and marker face: clear in grey, too.
METRIC_STYLES = [(LOSS_COLOR, "o"), (ACCURACY_COLOR, "s")]
SPLIT_STYLES = [("-", "full"), ("--", "none")]
NARROWEST = 25.0  # sizes of a letter that a plot with two axes of values needs
RATIO = 0.62  # height over width of a preset's plot


def draw(drawing: Drawing) -> Figure:
    """Return the figure of one or several profiles; see `profile_figure`."""
    wishes = drawing.metrics, drawing.splits, drawing.look
    scales = profile_scales(drawing.shared, *wishes) if drawing.shared else None
    return profile_figure(drawing.surfaces, *wishes, scales)


def profile_figure(
    surfaces: Surface | Sequence[Surface],
    metrics: Sequence[str],
    splits: Sequence[str],
    look: Look,
    scales: Sequence[Scale] | None = None,
) -> Figure:
    """Return curves along the one axis that has several points, with bands of 2 standard errors.

    Args:
        surfaces: A 1-D profile, or a surface with one point along an axis; several of them are
            drawn side by side with the same limits.
        metrics: One metric, or two of which the second goes to the right axis.
        splits: One or two; the first is solid, the second dashed.
        look: Scale, clipping and size; scale and limits hold for the left axis.
        scales: One for each metric, shared with other figures; None makes them.

    Raises:
        UserError: If a column is missing, or nothing is computed yet.
    """
    several = [surfaces] if isinstance(surfaces, Surface) else list(surfaces)
    with plot_settings(look.style):
        is_shared = scales is not None or len(several) > 1 or look.limits is not None
        scales = scales or profile_scales(several, metrics, splits, look)
        every = [[f for m in metrics[:2] for f in _fields(s, m, splits)] for s in several]
        title, notes = margin.profile_words(several, every, look.title)
        is_letter = look.has_letters_alone(1, len(several))
        notes += aside_notes(several, is_letter)
        figure, places = _axes(len(several), look, notes)
        entries: list[list[Artist]] = []
        for left, surface, fields in zip(places, several, every, strict=True):
            own = [_fields(surface, metric, splits) for metric in metrics[:2]]
            curves = _draw_metrics(left, own, scales, look, is_shared)
            _finish(left, surface, fields, is_letter)
            entries.append([*curves, *missing_legend(united(fields))])
        _explain(figure, places, entries, is_letter)
        if len(several) > 1:
            _write_titles(places, several, every)
        margin.write(figure, title, notes, look, _what(every[0]), is_letter)
        fit(figure, places, look, RATIO)
    return figure


def profile_scales(
    surfaces: Sequence[Surface], metrics: Sequence[str], splits: Sequence[str], look: Look
) -> list[Scale]:
    """Return the scale of each of the first two metrics for all surfaces together."""
    scales = []
    for position, metric in enumerate(metrics[:2]):
        fields = [field for s in surfaces for field in _fields(s, metric, splits)]
        values = np.concatenate([field.finite for field in fields])
        wanted = look if position == 0 else Look(style=look.style)
        scales.append(scale_of(values, fields[0].about, wanted))
    return scales


def _fields(surface: Surface, metric: str, splits: Sequence[str]) -> list[Field]:
    return [make_field(surface, name) for name in columns_named(surface, metric, splits[:2])]


def _axes(num: int, look: Look, notes: Sequence[str]) -> tuple[Sheet, list[Axes]]:
    most = look.paper.most_in_a_row(NARROWEST) if look.paper else MOST_IN_A_ROW
    rows = in_rows(list(range(num)), look.rows, most)
    shape = len(rows), len(rows[0])
    width, height = (6.4, 3.9) if num == 1 else (4.4 * shape[1], 3.6 * shape[0] + 0.3)
    figure = make_sheet(look, (width, height + margin.notes_height(notes, width)))
    grid = figure.subplots(*shape, squeeze=False)
    for axes in grid.flat[num:]:
        axes.set_axis_off()
    return figure, list(grid.flat[:num])


def _explain(
    sheet: Sheet, places: Sequence[Axes], entries: Sequence[Sequence[Artist]], is_letter: bool
) -> None:
    """Add a legend to each plot, or one for all where they are too narrow for their own."""
    if is_letter:
        write_key(sheet, chain(*entries))
        return
    for axes, some in zip(places, entries, strict=True):
        legend_below(axes, some, 3.6 * text_size("font.size"), columns=2)


def _draw_metrics(
    left: Axes, every: Sequence[Sequence[Field]], scales: Sequence[Scale], look: Look, fixed: bool
) -> list[Line2D]:
    """Draw the first metric on the left axis and the second one on the right."""
    curves: list[Line2D] = []
    for position, (fields, scale) in enumerate(zip(every, scales, strict=False)):
        axes = left if position == 0 else left.twinx()
        style = METRIC_STYLES[position]
        curves += _draw_metric(axes, fields, scale, style, fixed)
        _label_values(axes, fields, scale, style[0], look.label if position == 0 else None)
    return curves


def _draw_metric(
    axes: Axes, fields: Sequence[Field], scale: Scale, metric_style: tuple[str, str], fixed: bool
) -> list[Line2D]:
    color, marker = metric_style
    set_scale(axes, scale, fixed)
    curves = []
    for field, (line, face) in zip(fields, SPLIT_STYLES, strict=False):
        x, y = coordinates(field), field.values.ravel()
        style: dict[str, Any] = {"color": color, "marker": marker, "fillstyle": face}
        style |= {"markersize": 4.5, "markevery": marked_points(y), "linewidth": USUAL_LINE}
        curves += axes.plot(x, y, line, label=field.words, **style)
        if field.stderr is not None:
            band = 2 * field.stderr.ravel()
            axes.fill_between(x, y - band, y + band, color=color, alpha=0.2, linewidth=0)
    return curves


def _label_values(
    axes: Axes, fields: Sequence[Field], scale: Scale, color: str, label: str | None
) -> None:
    own = short(fields[0].about.quantity, 40) if len(fields) > 1 else fields[0].words
    words = short(label, 80) if label else own
    axes.set_ylabel(caption.value_label(words, scale), color=color)
    axes.tick_params(axis="y", labelcolor=color)


def _what(fields: Sequence[Field]) -> str:
    """Return what the curves are, for the beginning of a caption."""
    return ", ".join(dict.fromkeys(field.words for field in fields)) + " along a line"


def _finish(axes: Axes, surface: Surface, fields: Sequence[Field], is_letter: bool) -> None:
    x = coordinates(fields[0])
    missing = united(fields)
    for patch in missing_strips(x, missing):
        axes.add_patch(patch)
        patch.set_transform(axes.get_xaxis_transform())
    if min(x) <= 0 <= max(x):
        axes.axvline(0, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
    room = 0.03 * np.ptp(x) or 0.5
    axes.set_xlim(min(x) - room, max(x) + room)
    axes.xaxis.set_major_formatter(lambda value, _: number_text(value))
    axis = "beta" if len(fields[0].alpha) == 1 < len(fields[0].beta) else "alpha"
    axes.set_xlabel(caption.GREEK[axis] if is_letter else caption.axis_label(surface, axis))
    axes.xaxis.set_major_locator(MaxNLocator(9, steps=[1, 2, 2.5, 5, 10]))


def _write_titles(
    places: Sequence[Axes], surfaces: Sequence[Surface], every: Sequence[Sequence[Field]]
) -> None:
    tiles = [Tile(s, fields[0].column) for s, fields in zip(surfaces, every, strict=True)]
    for axes, tile, name in zip(places, tiles, titles(tiles), strict=True):
        axes.set_title(" · ".join(filter(None, [name, subtitle(tile)])), parse_math=False)
