"""What a reader of a printed figure would complain about; the truth is what is really drawn."""

from __future__ import annotations

import numpy as np
from matplotlib.path import Path as Outline
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, Bbox

SMALLEST_PT = 6.0
TOUCH_PX = 1.0  # at 100 to the inch: line heights hold some room above and below the letters


def faults(figure, monkeypatch):
    """Return texts that are cut, that lie on each other, or that are below 6 pt, in words."""
    drawn = drawn_texts(figure, monkeypatch)
    page = figure.bbox.padded(0.5)
    found = []
    for text, box, _ in drawn:
        if not (page.containsx(box.x0) and page.containsx(box.x1)):
            found.append(f"{text.get_text()!r} is cut at the side")
        if not (page.containsy(box.y0) and page.containsy(box.y1)):
            found.append(f"{text.get_text()!r} is cut above or below")
        if text.get_fontsize() < SMALLEST_PT - 1e-9:
            found.append(f"{text.get_text()!r} has {text.get_fontsize():.1f} pt")
    for k, (text, _, outline) in enumerate(drawn):
        for other, _, second in drawn[k + 1 :]:
            if outline.intersects_path(second, filled=True):
                found.append(f"{text.get_text()!r} lies on {other.get_text()!r}")
    return found


def drawn_texts(figure, monkeypatch):
    """Return each text that is drawn, with the box and the turned rectangle around its letters."""
    found = []
    draw = Text.draw

    def record(self, renderer):
        if self.get_visible() and self.get_text().strip():
            found.append(self)
        return draw(self, renderer)

    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", record)
        figure.canvas.draw()
    return [(text, Text.get_window_extent(text), _outline(text)) for text in dict.fromkeys(found)]


def plot_share(figure):
    """Return the share of the picture that its plots take, colour bars and twins left out."""
    boxes = {
        tuple(np.round(axes.get_position().bounds, 6))
        for axes in figure.axes
        if getattr(axes, "_axis3don", axes.axison)
        and axes.get_subplotspec() is not None
        and axes.get_label() != "<colorbar>"
    }
    return sum(width * height for _, _, width, height in boxes)


def _outline(text):
    box = Text.get_window_extent(text)
    middle = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    angle = text.get_rotation()
    text.set_rotation(0)
    flat = Text.get_window_extent(text)
    text.set_rotation(angle)
    half = np.maximum([flat.width / 2 - TOUCH_PX, flat.height / 2 - TOUCH_PX], 0.5)
    corners = Bbox([-half, half]).corners()[[0, 2, 3, 1]]
    turned = Affine2D().rotate_deg(angle).translate(*middle).transform(corners)
    return Outline([*turned, turned[0]], closed=True)
