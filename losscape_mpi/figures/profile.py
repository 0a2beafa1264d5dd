"""The figure of a 1-D profile: loss on the left axis, accuracy on the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from losscape_mpi.figures import caption
from losscape_mpi.figures.field import Field, make_field
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.marks import legend_below, missing_legend, missing_strips
from losscape_mpi.figures.scale import Scale, choose_scale, number_text
from losscape_mpi.figures.style import (
    ACCURACY_COLOR,
    LABEL_SIZE,
    LOSS_COLOR,
    TICK_SIZE,
)
from losscape_mpi.store.surface import Surface

# Metrics differ by colour and marker, splits by line and marker face: clear in grey, too.
METRIC_STYLES = [(LOSS_COLOR, "o"), (ACCURACY_COLOR, "s")]
SPLIT_STYLES = [("-", "full"), ("--", "none")]
NUM_MARKERS = 16  # more would hide whether a line is solid or dashed


def profile_figure(
    surface: Surface, metrics: Sequence[str], splits: Sequence[str], look: Look
) -> Figure:
    """Return curves along the one axis that has several points, with bands of 2 standard errors.

    Args:
        surface: A 1-D profile, or a surface with one point along an axis.
        metrics: One metric, or two of which the second goes to the right axis.
        splits: One or two; the first is solid, the second dashed.
        look: Scale, clipping and size; they hold for the left axis.

    Raises:
        UserError: If a column is missing, or nothing is computed yet.
    """
    figure = Figure(figsize=look.size or (6.4, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.add_subplot()
    curves: list[Line2D] = []
    fields: list[Field] = []
    for position, metric in enumerate(metrics[:2]):
        axes = left if position == 0 else left.twinx()
        drawn = [make_field(surface, f"{split}/{metric}") for split in splits[:2]]
        values = np.concatenate([field.finite for field in drawn])
        wanted = look if position == 0 else Look()
        scale = choose_scale(values, wanted.scale, wanted.clip, bounded=metric == "accuracy")
        curves += _draw_metric(axes, drawn, scale, METRIC_STYLES[position])
        fields += drawn
    _finish(left, surface, fields, curves)
    _write_words(figure, surface, fields)
    return figure


def _draw_metric(
    axes: Axes, fields: Sequence[Field], scale: Scale, metric_style: tuple[str, str]
) -> list[Line2D]:
    color, marker = metric_style
    _set_scale(axes, scale)
    curves = []
    for field, (line, face) in zip(fields, SPLIT_STYLES, strict=False):
        x, y = _along(field), field.values.ravel()
        style: dict[str, Any] = {"color": color, "marker": marker, "fillstyle": face}
        style |= {"markersize": 4.5, "markevery": _marked(y)}
        curves += axes.plot(x, y, line, label=caption.value_label(field.column), **style)
        if field.stderr is not None:
            band = 2 * field.stderr.ravel()
            axes.fill_between(x, y - band, y + band, color=color, alpha=0.2, linewidth=0)
    note = f" ({scale.note})" if scale.note else ""
    name = fields[0].column.split("/")[1] if len(fields) > 1 else curves[0].get_label()
    axes.set_ylabel(f"{name}{note}", color=color, fontsize=LABEL_SIZE)
    axes.tick_params(axis="y", labelcolor=color)
    axes.tick_params(labelsize=TICK_SIZE)
    return curves


def _set_scale(axes: Axes, scale: Scale) -> None:
    if scale.kind == "log":
        axes.set_yscale("log", nonpositive="clip")  # a band may reach below 0
    elif scale.kind == "symlog":
        axes.set_yscale("symlog", linthresh=scale.threshold)
    if scale.is_clipped:
        axes.set_ylim(top=scale.high)


def _finish(
    axes: Axes, surface: Surface, fields: Sequence[Field], curves: Sequence[Line2D]
) -> None:
    x = _along(fields[0])
    missing = {
        reason: np.any([field.missing[reason].ravel() for field in fields], axis=0)
        for reason in fields[0].missing
    }
    for patch in missing_strips(x, missing):
        axes.add_patch(patch)
        patch.set_transform(axes.get_xaxis_transform())
    if min(x) <= 0 <= max(x):
        axes.axvline(0, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
    room = 0.03 * np.ptp(x) or 0.5
    axes.set_xlim(min(x) - room, max(x) + room)
    axes.xaxis.set_major_formatter(lambda value, _: number_text(value))
    axis = "beta" if len(fields[0].alpha) == 1 < len(fields[0].beta) else "alpha"
    axes.set_xlabel(caption.axis_label(surface, axis), fontsize=LABEL_SIZE)
    legend_below(axes, [*curves, *missing_legend(missing)], 36)


def _marked(values: np.ndarray) -> list[int]:
    """Return which points get a marker: evenly spread ones, and those that no line reaches."""
    there = np.isfinite(np.concatenate([[np.nan], values, [np.nan]]))
    alone = there[1:-1] & ~there[:-2] & ~there[2:]
    spread = range(0, len(values), -(-len(values) // NUM_MARKERS))
    return sorted({*spread, *np.flatnonzero(alone).tolist()})


def _along(field: Field) -> np.ndarray:
    return field.beta if len(field.alpha) == 1 < len(field.beta) else field.alpha


def _write_words(figure: Figure, surface: Surface, fields: Sequence[Field]) -> None:
    notes = [caption.range_text(field, "center") for field in fields]
    if any(field.stderr is not None for field in fields):
        notes.append("bands: ± 2 standard errors (SE) of the mean over the samples")
    notes += [caption.settings_text(surface), caption.slice_note(surface)]
    caption.write(figure, caption.title_parts(surface, fields[0].column.split("/")[0]), notes)
