"""Fitting a sheet's contents to its size: plots get room, or the size is refused."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from losscape_mpi.errors import UserError
from losscape_mpi.figures.crowd import hide_line_labels, thin_numbers, wrap_words
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.frame import SolidAxes
from losscape_mpi.figures.sheet import Sheet

PASSES = 6  # of fit and layout; two or three are usual
HEIGHT_PASSES = 3  # a 3-D box in its place makes no height the last one
SMALLEST_SIDE = 4.0  # of a plot, in sizes of its letters: less shows nothing
LARGEST_TRIED = 60.0  # inches
ENOUGH = 0.01  # inches of height that are not worth another pass


def fit(sheet: Sheet, plots: Sequence[Axes], look: Look, ratio: float) -> None:
    """Lay a sheet whose width is given out, so that everything on it can be read.

    Args:
        sheet: With all its contents.
        plots: The axes that values are drawn in, without colour bars and twins.
        look: Whether a size was asked for; else the height is made to fit the width.
        ratio: Height over width of the first plot's place.

    Raises:
        UserError: If the plots have no room.
    """
    if not look.is_fitted:
        return
    is_free = not look.asked_size
    most = look.paper.tallest if look.paper else LARGEST_TRIED
    wanted = ratio if is_free else None
    has_room = _settle(sheet, plots, wanted, most)
    if not has_room and sheet.put_aside(look.has_caption):
        has_room = _settle(sheet, plots, wanted, most)
    if not has_room:
        raise UserError(_refusal(sheet, plots, look, ratio))
    sheet.set_layout_engine("none")  # what is settled stays


def _settle(
    sheet: Sheet, plots: Sequence[Axes], ratio: float | None, most: float = LARGEST_TRIED
) -> bool:
    """Return whether all plots have room after several passes."""
    sheet.set_layout_engine("constrained")
    has_room = _lay_out(sheet)
    for k in range(PASSES):
        changes = [wrap_words(sheet), thin_numbers(sheet)]
        if ratio is not None and k < HEIGHT_PASSES:
            changes.append(_set_height(sheet, plots, ratio, most))
        if not any(changes):
            break
        has_room = _lay_out(sheet)
    if has_room and all(axes.get_aspect() != "auto" for axes in plots):
        sheet.set_layout_engine("compressed")  # maps that are narrower than their place move close
        has_room = _lay_out(sheet)
        for _ in range(HEIGHT_PASSES):
            if not thin_numbers(sheet):
                break
            _lay_out(sheet)
    for axes in plots:
        hide_line_labels(axes)
    least = SMALLEST_SIDE * float(matplotlib.rcParams["font.size"]) / 72
    return has_room and min(min(_inches(sheet, axes)) for axes in plots) >= least


def _lay_out(sheet: Sheet) -> bool:
    """Place everything, and return whether the plots had any room."""
    engine = sheet.get_layout_engine()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if engine is not None:
            engine.execute(sheet)
        solid = [axes for axes in sheet.axes if isinstance(axes, SolidAxes)]
        for axes in solid:
            axes.frame(FigureCanvasAgg(sheet).get_renderer())
        if solid:
            _draw_words(sheet)  # they get their places in 3-D when they are drawn
    return not any("collapsed to zero" in str(warning.message) for warning in told)


def _draw_words(sheet: Sheet) -> None:
    heavy = [
        shape
        for axes in sheet.axes
        for shape in (*axes.collections, *axes.artists)
        if shape.get_visible()
    ]
    for shape in heavy:
        shape.set_visible(False)
    sheet.canvas.draw()
    for shape in heavy:
        shape.set_visible(True)


def _inches(sheet: Sheet, axes: Axes, is_place: bool = False) -> tuple[float, float]:
    """Return width and height of a plot, or of the place that it may fill."""
    box = axes.get_position(original=is_place)
    return box.width * sheet.get_figwidth(), box.height * sheet.get_figheight()


def _set_height(sheet: Sheet, plots: Sequence[Axes], ratio: float, most: float) -> bool:
    """Give the sheet the height at which the first plot's place has a shape."""
    width, height = _inches(sheet, plots[0], is_place=True)
    grid = plots[0].get_subplotspec()
    if grid is None:
        return False
    ratios: Any = grid.get_gridspec().get_height_ratios()
    share = sum(ratios[grid.rowspan.start : grid.rowspan.stop]) / sum(ratios)
    before = sheet.get_figheight()
    sheet.set_figheight(min(max(before + (ratio * width - height) / share, 0.4), most))
    return abs(sheet.get_figheight() - before) > ENOUGH


def _refusal(sheet: Sheet, plots: Sequence[Axes], look: Look, ratio: float) -> str:
    """Return what was asked for, and the smallest size that works."""
    width, height = sheet.get_size_inches().tolist()
    is_free, words = not look.asked_size, f"{len(plots)} plots" if len(plots) > 1 else "a plot"
    factor = 1.0
    while width * factor < LARGEST_TRIED:
        factor *= 1.08
        sheet.set_size_inches(width * factor, height * factor)
        if _settle(sheet, plots, ratio if is_free else None):
            break
    works = [-(-10 * side // 1) / 10 for side in sheet.get_size_inches().tolist()]
    if look.paper and is_free:
        return (
            f"found no room for {words} in {width:g} inches (--paper {look.paper.name}), expected "
            f"at least {works[0]:.1f}: take another --paper, more --rows, or a --size"
        )
    return (
        f"found a size of {width:g}x{height:g} inches, too small for {words} with these letters; "
        f"expected at least {works[0]:.1f}x{works[1]:.1f}"
    )
