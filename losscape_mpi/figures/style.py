"""The look that all figures share: settings of matplotlib, colours, marks; a user's own style."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import RcParams, colormaps
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patheffects import AbstractPathEffect, withStroke

from losscape_mpi.errors import UserError
from losscape_mpi.figures.font import tell_missing_font
from losscape_mpi.figures.library import silence
from losscape_mpi.figures.preset import USUAL_LINE
from losscape_mpi.study.load import read_yaml

LOSS_COLOR, ACCURACY_COLOR = "#0072B2", "#D55E00"  # Okabe and Ito's colour-blind-safe blue, red
CAPTION_SIZE = "x-small"
SMALLEST_TEXT = 6.0  # pt: what journals take as the least that can be read
HALO_PT = 3.0  # white around marks and labels over a map
CENTER_MARK: dict[str, Any] = {
    "marker": "+",
    "color": "black",
    "markersize": 9,
    "markeredgewidth": 1.3,
    "linestyle": "none",
    "path_effects": [withStroke(linewidth=HALO_PT, foreground="white")],
}
SAMPLE_MARK: dict[str, Any] = {
    "marker": "o",
    "markersize": 1.5,
    "markeredgewidth": 0,
    "color": "black",
    "linestyle": "none",
}
# Told apart by the hatch, so that a grey print still shows the reason.
MISSING_STYLE: dict[str, dict[str, Any]] = {
    "not computed": {"facecolor": "#d9d9d9", "hatch": "////", "edgecolor": "#8c8c8c"},
    "failed": {"facecolor": "#f4c7a5", "hatch": "xxxx", "edgecolor": "#8a3b00"},
    "not finite": {"facecolor": "#f7c6dc", "hatch": "....", "edgecolor": "#000000"},
}
SETTINGS: dict[Any, Any] = {
    "figure.titlesize": "medium",
    "axes.titlesize": "medium",
    "axes.labelsize": "medium",
    "xtick.labelsize": "small",
    "ytick.labelsize": "small",
    "legend.fontsize": "small",
    "image.cmap": "viridis",  # perceptually uniform, also for colour-blind readers
    "svg.hashsalt": "losscape_mpi",  # identifiers in the file depend on its content alone
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "hatch.linewidth": 0.5,
    "axes.unicode_minus": True,
}
SESSION_KEYS = ("backend", "interactive", "toolbar")  # of a notebook; no part of a picture


def read_style(path: Path) -> dict[str, Any]:
    """Return the settings of matplotlib that a style file holds.

    Args:
        path: A YAML mapping such as `font.size: 8`, or a style sheet that ends in .mplstyle.

    Raises:
        UserError: If the file cannot be read, or a setting is unknown or has no valid value.
    """
    raw = _read_sheet(path) if path.suffix == ".mplstyle" else read_yaml(path)
    for key in raw:
        if key not in matplotlib.rcParams:
            near = difflib.get_close_matches(str(key), list(matplotlib.rcParams), 1)
            hint = f", did you mean {near[0]}?" if near else ""
            raise UserError(
                f"{path}: found {key}, expected a setting of matplotlib such as font.size{hint}"
            )
    try:
        with matplotlib.rc_context():  # some settings warn or act when they are checked
            checked: Any = RcParams(raw)
            style = {key: checked[key] for key in raw}
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from error
    for family in style.get("font.family", []):
        tell_missing_font(family, path)
    return style


def settings(style: Mapping[str, Any]) -> dict[Any, Any]:
    """Return all settings of a figure: ours, replaced by a user's."""
    return SETTINGS | dict(style)


@contextmanager
def plot_settings(style: Mapping[str, Any]) -> Iterator[None]:
    """Draw with matplotlib's defaults, our settings and a user's style: nothing else counts.

    What a notebook or a settings file has set holds again afterwards. Warnings of matplotlib are
    for programmers and are not shown.
    """
    with silence(), matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if k not in SESSION_KEYS}
        matplotlib.rcParams.update(defaults)
        matplotlib.rcParams.update(settings(style))
        yield


def text_size(key: str) -> float:
    """Return a text size in points, of a setting such as axes.labelsize or of a name (small).

    It is never below 6, unless all letters are.
    """
    current: Any = matplotlib.rcParams
    size = float(FontProperties(size=current.get(key, key)).get_size_in_points())
    return max(size, min(SMALLEST_TEXT, float(current["font.size"])))


def thin_strokes(figure: Figure) -> None:
    """Give drawn lines and marks the strength that lines.linewidth asks for; frames have theirs."""
    strength = float(matplotlib.rcParams["lines.linewidth"]) / USUAL_LINE
    if strength == 1:
        return
    halo: list[AbstractPathEffect] = [withStroke(linewidth=strength * HALO_PT, foreground="white")]
    for axes in figure.axes:
        for artist in (*axes.lines, *axes.texts):
            if artist.get_path_effects():
                artist.set_path_effects(halo)
        for line in axes.lines:
            line.set_linewidth(strength * line.get_linewidth())
            line.set_markersize(strength * line.get_markersize())
            line.set_markeredgewidth(strength * line.get_markeredgewidth())
        for shape in axes.collections:
            if isinstance(shape, LineCollection) or not getattr(shape, "filled", True):
                shape.set_linewidth((strength * np.asarray(shape.get_linewidth())).tolist())
            if isinstance(shape, PathCollection):
                shape.set_linewidth((strength * np.asarray(shape.get_linewidth())).tolist())
                shape.set_sizes(strength**2 * np.asarray(shape.get_sizes()))


def nearest_colormap(name: str) -> str:
    """Return the name of a colour map of matplotlib: this one, or else the one most like it."""
    if name in colormaps:
        return name
    near = difflib.get_close_matches(name.lower(), [n.lower() for n in colormaps], 1, 0.0)
    return next(n for n in colormaps if n.lower() == near[0])


def colormap() -> Colormap:
    """Return the colours of values: the setting image.cmap."""
    return colormaps[matplotlib.rcParams["image.cmap"]]


def line_colormap() -> Colormap:
    """Return the colours for lines on white: without the pale end of the map."""
    full = colormap()
    is_pale_first = sum(full(0.0)[:3]) > sum(full(1.0)[:3])
    first, last = (0.15, 1.0) if is_pale_first else (0.0, 0.85)
    colors = full([first + k / 255 * (last - first) for k in range(256)])
    return LinearSegmentedColormap.from_list("lines", colors)


def _read_sheet(path: Path) -> dict[str, str]:
    """Return the settings of a style sheet as text; a # begins a comment outside quotes."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot read it ({error}), expected a style sheet") from error
    found = {}
    for number, line in enumerate(lines, 1):
        quoted = line.partition('"')
        text = line if quoted[1] and "#" not in quoted[0] else line.partition("#")[0]
        key, colon, value = text.partition(":")
        if text.strip() and not colon:
            raise UserError(f"{path}, line {number}: found {text.strip()}, expected KEY: VALUE")
        if text.strip():
            found[key.strip()] = value.strip().strip('"')
    return found
