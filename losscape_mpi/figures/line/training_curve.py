"""The figure of a training: loss and error after each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from losscape_mpi.figures.font import readable, settle_texts
from losscape_mpi.figures.save import save_figure
from losscape_mpi.figures.scale import number_text
from losscape_mpi.figures.style import ACCURACY_COLOR, LOSS_COLOR, plot_settings
from losscape_mpi.figures.text import short

LOG_RATIO = 20.0  # largest over smallest value from which a logarithmic axis reads better
# Splits differ by colour and by line: clear in grey, too.
STYLES = {"train": (LOSS_COLOR, "-", "o"), "test": (ACCURACY_COLOR, "--", "s")}
NUM_MARKERS = 16


def training_figure(rows: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Return loss and, where accuracy was measured, error in percent against the epoch.

    Args:
        rows: One for each measured epoch: epoch, train/loss, train/accuracy, test/loss, ...
        title: What was trained, in one line.
    """
    epochs = np.array([row["epoch"] for row in rows])
    losses = _columns(rows, "loss")
    errors = {split: 100 * (1 - values) for split, values in _columns(rows, "accuracy").items()}
    panels = [("loss", losses), ("error (%)", errors)] if errors else [("loss", losses)]
    with plot_settings({}):
        figure = Figure(figsize=(4.2 * len(panels), 3.6), layout=_layout())
        FigureCanvasAgg(figure)
        figure.suptitle(readable(short(title)), parse_math=False)
        for position, (label, curves) in enumerate(panels, start=1):
            axes = figure.add_subplot(1, len(panels), position)
            _draw(axes, epochs, curves)
            _finish(axes, label, curves)
        settle_texts(figure)
    return figure


def save_training_curve(rows: Sequence[Mapping[str, float]], title: str, path: Path) -> None:
    """Draw a training as `training_figure` does and save it.

    Raises:
        UserError: If the file cannot be written.
    """
    save_figure(training_figure(rows, title), path)


def _layout() -> ConstrainedLayoutEngine:
    return ConstrainedLayoutEngine(wspace=0.06)  # the right panel's label keeps its distance


def _columns(rows: Sequence[Mapping[str, float]], metric: str) -> dict[str, np.ndarray]:
    """Return a metric by split, (num_epochs,), of the splits that have it."""
    return {
        split: np.array([row[f"{split}/{metric}"] for row in rows])
        for split in STYLES
        if f"{split}/{metric}" in rows[0]
    }


def _draw(axes: Axes, epochs: np.ndarray, curves: Mapping[str, np.ndarray]) -> None:
    every = -(-len(epochs) // NUM_MARKERS)
    for split, values in curves.items():
        color, line, marker = STYLES[split]
        last = f"{values[-1]:.3g}"
        axes.plot(
            epochs,
            values,
            line,
            color=color,
            marker=marker,
            markersize=3.5,
            markevery=every,
            linewidth=1.3,
            label=f"{split} (at the end {last})",
        )


def _finish(axes: Axes, label: str, curves: Mapping[str, np.ndarray]) -> None:
    note = _set_scale(axes, np.concatenate(list(curves.values())))
    axes.set_ylabel(f"{label}, {note}" if note else label)
    axes.set_xlabel("epoch (0: before the training)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.grid(True, which="major", linewidth=0.4, color="0.85")
    axes.legend(frameon=False)


def _set_scale(axes: Axes, values: np.ndarray) -> str:
    """Choose linear, logarithmic or, with zeros, both; returns what the label must say."""
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    low = finite.min(initial=0.0)
    if low < 0 or not positive.size or positive.max() <= LOG_RATIO * positive.min():
        high = finite.max(initial=low)
        axes.set_ylim(low, high + 0.06 * (high - low) if high > low else low + 1)
        return ""
    if len(positive) == len(finite):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: number_text(value))
        return "log scale"
    axes.set_yscale("symlog", linthresh=positive.min(), linscale=0.5)
    axes.set_ylim(bottom=-0.05 * positive.min())  # a line along 0 is seen whole
    first, last = np.ceil(np.log10(positive.min())), np.ceil(np.log10(positive.max()))
    ticks = [0.0, *10.0 ** np.arange(first, last + 1)]
    axes.minorticks_off()
    axes.set_yticks(ticks, [number_text(tick) for tick in ticks])
    return f"log above {positive.min():.2g}"
