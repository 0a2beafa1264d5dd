"""Words that have no room where they stand: broken into lines, or left out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from itertools import pairwise

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.text import Annotation, Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from losscape_mpi.figures.sheet import Sheet

SPACE_PX = 2.0  # around a number, at the 100 to the inch of a layout


def wrap_words(sheet: Sheet) -> bool:
    """Break labels and titles that are longer than what they belong to; returns whether any."""
    changed = False
    for axes in sheet.axes:
        if axes.name == "3d":
            continue
        box = axes.get_window_extent()
        for text, room, is_tall in (
            (axes.xaxis.label, box.width, False),
            (axes.yaxis.label, 1.1 * box.height, True),
            (axes.title, 1.1 * box.width, False),
        ):
            extent = text.get_window_extent()
            length = extent.height if is_tall else extent.width
            words = " ".join(text.get_text().split("\n"))
            if length <= max(room, 1) or " " not in words:
                continue
            lines = text.get_text().count("\n") + 1
            longest = max(map(len, text.get_text().split("\n")))
            broken = textwrap.fill(words, max(8, int(longest * room / length)))
            if broken != text.get_text() and broken.count("\n") >= lines - 1:
                text.set_text(broken)
                changed = True
    return changed


def thin_numbers(sheet: Sheet) -> bool:
    """Leave out numbers along an axis that would lie on each other; returns whether any."""
    found = [
        _thin_axis(axis)
        for axes in sheet.axes
        for axis in _axes_of(axes)
        if axis.get_visible() and _overlap(axis)
    ]
    return any(found)


def _axes_of(axes: Axes) -> Iterable[Axis]:
    return [axis for name in ("xaxis", "yaxis", "zaxis") if (axis := getattr(axes, name, None))]


def _overlap(axis: Axis) -> bool:
    boxes = _boxes(label for label in _labels(axis) if label.get_text())
    pairs = pairwise(boxes)
    return any(first.overlaps(second) for first, second in pairs)


def _labels(axis: Axis) -> list[Text]:
    """Return the numbers along an axis; those in 3-D stand where they were drawn last."""
    if axis.axes.name == "3d":
        return [tick.label1 for tick in axis.get_major_ticks()]
    return list(axis.get_ticklabels())


def _boxes(texts: Iterable[Artist]) -> list[Bbox]:
    """Return where texts stand, with the space that tells one from the next."""
    return [text.get_window_extent().padded(SPACE_PX) for text in texts if text.get_visible()]


def _thin_axis(axis: Axis) -> bool:
    """Show fewer numbers along an axis; returns whether that was possible."""
    locator = axis.get_major_locator()
    labels = [label.get_text() for label in _labels(axis)]
    if isinstance(locator, MaxNLocator):
        most = 3 * len([text for text in labels if text]) // 4
        locator.set_params(nbins=max(most - 1, 1), min_n_ticks=1)
        return most > 1
    if sum(map(bool, labels)) < 3:
        return False
    every = iter(range(len(labels)))
    kept = [text if not text or next(every) % 2 == 0 else "" for text in labels]
    axis.set_ticks(axis.get_ticklocs(), kept)
    return True


def hide_line_labels(axes: Axes) -> None:
    """Hide the labels of contour lines that the border cuts, and inner ones that touch another."""
    legend = axes.get_legend()
    kept: list[Bbox] = [legend.get_window_extent()] if legend else []
    border = axes.get_window_extent()
    for text in reversed(axes.texts):  # the outer lines of a valley have the higher values
        box = text.get_window_extent()
        if isinstance(text, Annotation) or axes.name == "3d" or not text.get_visible():
            continue
        is_inside = border.containsx(box.x0) and border.containsx(box.x1)
        is_inside &= border.containsy(box.y0) and border.containsy(box.y1)
        text.set_visible(bool(is_inside) and not any(box.overlaps(other) for other in kept))
        if text.get_visible():
            kept.append(box)
