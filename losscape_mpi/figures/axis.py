"""The y axis of curves."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from losscape_mpi.figures.scale import Scale


def set_scale(axes: Axes, scale: Scale, is_fixed: bool) -> None:
    """Give the y axis of curves its transform, and the limits that the scale asks for.

    Args:
        axes: Where the curves are drawn.
        scale: Transform and limits.
        is_fixed: Whether the limits are those of the scale, and not of what is drawn.
    """
    if scale.kind == "log":
        axes.set_yscale("log", nonpositive="clip")  # a band may reach below 0
    elif scale.kind == "symlog":
        axes.set_yscale("symlog", linthresh=scale.threshold)
    if is_fixed and scale.high > scale.low:
        ends = np.array([scale.low, scale.high])
        if scale.kind == "linear":  # a curve must not run along the frame
            ends += np.array([-0.03, 0.03]) * np.ptp(ends)
        axes.set_ylim(*(ends if scale.kind == "linear" else ends * [1 / 1.2, 1.2]))
    if scale.is_cut:
        axes.set_ylim(bottom=scale.low)
    if scale.is_clipped:
        axes.set_ylim(top=scale.high)
