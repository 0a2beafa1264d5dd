"""The look that all figures share: fonts, colours, marks."""

from __future__ import annotations

from typing import Any

from matplotlib import colormaps
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.patheffects import withStroke

COLORMAP = colormaps["viridis"]  # perceptually uniform, also for colour-blind readers
TITLE_SIZE, LABEL_SIZE, TICK_SIZE, LEGEND_SIZE, CAPTION_SIZE = 10.0, 9.5, 8.5, 8.0, 7.0
LOSS_COLOR, ACCURACY_COLOR = "#0072B2", "#D55E00"  # Okabe and Ito's colour-blind-safe blue, red
CENTER_MARK: dict[str, Any] = {
    "marker": "+",
    "color": "black",
    "markersize": 9,
    "markeredgewidth": 1.3,
    "linestyle": "none",
    "path_effects": [withStroke(linewidth=3, foreground="white")],
}
# Told apart by the hatch, so that a grey print still shows the reason.
MISSING_STYLE: dict[str, dict[str, Any]] = {
    "not computed": {"facecolor": "#d9d9d9", "hatch": "////", "edgecolor": "#8c8c8c"},
    "failed": {"facecolor": "#f4c7a5", "hatch": "xxxx", "edgecolor": "#8a3b00"},
    "not finite": {"facecolor": "#f7c6dc", "hatch": "....", "edgecolor": "#000000"},
}
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "losscape_mpi",  # identifiers in the file depend on its content alone
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "hatch.linewidth": 0.5,
    "axes.unicode_minus": True,
}


def line_colormap() -> Colormap:
    """Return the colours for lines on white: without the pale end of the map."""
    colors = COLORMAP([k / 255 * 0.85 for k in range(256)])
    return LinearSegmentedColormap.from_list("lines", colors)
