"""Decision regions of a classifier of points in the plane, with its samples."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.image import AxesImage

from losscape_mpi.errors import UserError

# Okabe and Ito's colour-blind-safe colours; the marker tells the classes without any colour.
CLASS_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
CLASS_MARKERS = ("o", "^", "s", "D", "v", "P", "X")
PALE, FULL = 0.12, 0.62  # strength of a colour where the classes are level, and at certainty
BORDER = 0.25  # brightness of the line between two regions
UNKNOWN = 176  # grey level where the network's answer is not finite


def region_image(probabilities: np.ndarray) -> np.ndarray:
    """Return the picture of decision regions, uint8 of shape (m, n, 3), rows along y from below.

    Each cell has the colour of the likeliest class, the paler the nearer its probability is to
    1 / classes; cells at a border are dark, cells without a finite answer grey.

    Args:
        probabilities: Shape (n, m, classes); axis 0 is x, axis 1 is y.

    Raises:
        UserError: If there are more classes than colours.
    """
    num = probabilities.shape[2]
    _check_classes(num)
    known = np.isfinite(probabilities).all(axis=2)
    safe = np.where(known[:, :, None], probabilities, 0.0)
    best = np.where(known, safe.argmax(axis=2), -1)
    certainty = ((safe.max(axis=2) - 1 / num) / (1 - 1 / num)).clip(0, 1) if num > 1 else known
    strength = (PALE + (FULL - PALE) * certainty)[:, :, None]
    colors = np.array([to_rgb(color) for color in CLASS_COLORS[:num]])[best]
    picture = 1 - strength * (1 - colors)
    picture[_borders(best)] *= BORDER
    bytes_ = (255 * picture).round().astype(np.uint8)
    bytes_[~known] = UNKNOWN
    return bytes_.transpose(1, 0, 2)


def draw_regions(axes: Axes, x: np.ndarray, y: np.ndarray) -> AxesImage:
    """Prepare axes for regions of a lattice; the picture comes by `set_data(region_image(...))`.

    Args:
        axes: Where to draw; x is the first input and y the second.
        x: Middles of the cells, evenly spaced, shape (n,).
        y: As x, shape (m,).
    """
    (left, right), (low, high) = (_ends(axis) for axis in (x, y))
    image = axes.imshow(
        np.full((len(y), len(x), 3), UNKNOWN, np.uint8),
        extent=(left, right, low, high),
        origin="lower",
        interpolation="bilinear",
        aspect="equal",
    )
    axes.set_xlabel("first input", fontsize="small")
    axes.set_ylabel("second input", fontsize="small")
    axes.locator_params(nbins=5)
    return image


def draw_samples(axes: Axes, points: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
    """Draw samples over regions: the colour of its class, and a marker for each class.

    Args:
        axes: Of `draw_regions`.
        points: Shape (n, 2).
        labels: Class numbers, shape (n,).
        num_classes: Number of classes.

    Raises:
        UserError: If there are more classes than colours.
    """
    _check_classes(num_classes)
    for k in range(num_classes):
        mine = points[labels == k]
        axes.plot(
            mine[:, 0],
            mine[:, 1],
            linestyle="none",
            marker=CLASS_MARKERS[k],
            markersize=4,
            markerfacecolor=CLASS_COLORS[k],
            markeredgecolor="black",
            markeredgewidth=0.4,
            label=f"class {k}",
        )


def _borders(best: np.ndarray) -> np.ndarray:
    """Return the cells whose class differs from that of the next cell along x or y."""
    found = np.zeros(best.shape, dtype=bool)
    found[:-1] |= best[:-1] != best[1:]
    found[:, :-1] |= best[:, :-1] != best[:, 1:]
    return found


def _ends(middles: np.ndarray) -> tuple[float, float]:
    half = (middles[1] - middles[0]) / 2
    return float(middles[0] - half), float(middles[-1] + half)


def _check_classes(num: int) -> None:
    if num > len(CLASS_COLORS):
        raise UserError(
            f"found {num} classes, expected at most {len(CLASS_COLORS)} for decision regions, "
            "which have a colour for each: draw the path alone"
        )
