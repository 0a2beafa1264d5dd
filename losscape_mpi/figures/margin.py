"""The words around a figure: its title above, its small print below."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from losscape_mpi.figures import caption
from losscape_mpi.figures.column import POINT_COLUMNS
from losscape_mpi.figures.field import Field
from losscape_mpi.figures.font import num_cells, readable, settle_texts
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.surface3d import thin
from losscape_mpi.figures.sheet import Sheet
from losscape_mpi.figures.style import CAPTION_SIZE, text_size, thin_strokes
from losscape_mpi.figures.text import short
from losscape_mpi.figures.tile import Tile
from losscape_mpi.store.surface import Surface

LETTER_WIDTH, LINE_HEIGHT = 0.54, 1.2  # of the letters' size; DejaVu Sans, and its widest lines
LARGEST_SHARE = 0.4  # of a height, for title and small print: the rest is the plot's
USUAL = Look()


def write(
    figure: Figure,
    title: Sequence[str],
    notes: Sequence[str],
    look: Look = USUAL,
    what: str = "",
    is_tight: bool = False,
) -> None:
    """Write the title's parts above and the small print below a figure, broken to its width.

    A sheet of a preset, or one that is too small for both, keeps them for a file beside it
    (`Sheet.is_aside`). These are the last texts of a figure: all of them get the fonts that they
    need, and its lines their strength.

    Args:
        figure: With everything else on it.
        title: Parts of the title.
        notes: Lines of small print.
        look: What is drawn of them.
        what: The values and how they are drawn: how a caption begins.
        is_tight: Whether the plots of a size that was asked for have no room for their units.
    """
    # No-break spaces inside the parts: a long title breaks between them.
    words = "\u00a0· ".join(part.replace(" ", "\u00a0") for part in title)
    is_small = look.asked_size is not None and look.is_fitted
    is_small &= is_tight or _share(figure, [words], notes, look) > LARGEST_SHARE
    if isinstance(figure, Sheet):
        figure.heading = " · ".join(title)
        lines = [": ".join(filter(None, [what[:1].upper() + what[1:], figure.heading])), *notes]
        figure.paragraphs = [line if line.endswith(".") else f"{line}." for line in lines if line]
        figure.is_aside = look.has_caption and (look.paper is not None or is_small)
    if look.paper:  # the file's own words are the caption's
        words = short(look.title, 300) if look.title else ""
    if look.has_title and words and not is_small:
        _write_title(figure, words)
    if look.has_caption and look.paper is None and not is_small:
        _write_notes(figure, notes)
    settle_texts(figure)
    thin_strokes(figure)


def _write_title(figure: Figure, words: str) -> None:
    size = text_size("figure.titlesize")
    figure.suptitle(_wrapped(figure.get_figwidth(), [words], size), fontsize=size, parse_math=False)


def _write_notes(figure: Figure, notes: Sequence[str]) -> None:
    size = text_size(CAPTION_SIZE)
    words = _wrapped(figure.get_figwidth(), notes, size)
    style: dict[str, Any] = {"fontsize": size, "fontweight": "normal", "color": "0.3"}
    figure.supxlabel(words, x=0.02, ha="left", parse_math=False, **style)


def _share(figure: Figure, title: Sequence[str], notes: Sequence[str], look: Look) -> float:
    """Return the share of a figure's height that title and small print would take."""
    width, size = figure.get_figwidth(), text_size("figure.titlesize")
    lines = len(_wrapped(width, title, size).splitlines()) * look.has_title
    height = notes_height(notes, width) * look.has_caption + LINE_HEIGHT * size / 72 * lines
    return height / figure.get_figheight()


def notes_height(notes: Sequence[str], width: float) -> float:
    """Return the height that small print needs in a figure of a width, both in inches."""
    size = text_size(CAPTION_SIZE)
    return LINE_HEIGHT * size / 72 * len(_wrapped(width, notes, size).splitlines())


def _wrapped(width: float, lines: Sequence[str], size_pt: float) -> str:
    """Return lines broken to a width in inches."""
    num = (width - 0.3) * 72 / (LETTER_WIDTH * size_pt)
    known = [readable(line) for line in lines if line]
    # Letters of some scripts are twice as wide.
    nums = [max(8, int(num * len(line) / num_cells(line))) for line in known]
    parts = map(partial(textwrap.wrap, break_on_hyphens=False), known, nums)
    return "\n".join(part for some in parts for part in some)


def panel_words(
    tiles: Sequence[Tile], fields: Sequence[Field], heading: str | None, is_solid: bool = False
) -> tuple[list[str], list[str]]:
    """Return the title's parts and the small print of maps: what they share is said once.

    Args:
        tiles: Where the values come from.
        fields: What is drawn.
        heading: A user's own title, which goes first; None without one.
        is_solid: Whether the maps are 3-D, which draws large ones thinned.
    """
    parts = [caption.title_parts(tile.surface, tile.about.split) for tile in tiles]
    settings = [caption.settings_parts(tile.surface) for tile in tiles]
    shared, common = _shared(parts), _shared(settings)
    notes = []
    for tile, field, title, setting in zip(tiles, fields, parts, settings, strict=True):
        own = " · ".join(part for part in title if part not in shared)
        if tile.title:
            own = " · ".join(filter(None, [tile.title, own]))
        shown, whole = (thin(field) if is_solid else field).values.shape, field.whole or field
        # No-break spaces, as in the title.
        thinned = [f"{shown[0]}\u00a0×\u00a0{shown[1]}\u00a0drawn"] * (shown != whole.values.shape)
        words = [caption.range_text(whole, "+ center"), *thinned]
        words += [part for part in setting if part not in common]
        notes.append(f"{own}: " * (bool(own) and len(tiles) > 1) + " · ".join(words))
    alone = [caption.test_error_text(tiles[0].surface)] * (len(tiles) == 1)
    notes.append(" · ".join(filter(None, [*alone, *common])))
    if fields[0].column not in POINT_COLUMNS:
        notes += dict.fromkeys(caption.slice_note(tile.surface) for tile in tiles)
    return [*([short(heading, 300)] if heading else []), *shared], notes


def _shared(lists: Sequence[Sequence[str]]) -> list[str]:
    return [part for part in lists[0] if all(part in other for other in lists)]


def profile_words(
    surfaces: Sequence[Surface], every: Sequence[Sequence[Field]], heading: str | None
) -> tuple[list[str], list[str]]:
    """Return the title's parts and the small print of profiles: what they share is said once.

    Args:
        surfaces: Where the values come from.
        every: The curves of each.
        heading: A user's own title, which goes first; None without one.
    """
    parts = [
        caption.title_parts(s, *caption.title_splits(s, list(dict.fromkeys(splits))))
        for s, splits in zip(
            surfaces, ([f.about.split for f in some] for some in every), strict=True
        )
    ]
    settings = [caption.settings_parts(surface) for surface in surfaces]
    shared, common = _shared(parts), _shared(settings)
    notes = []
    for fields, title, setting in zip(every, parts, settings, strict=True):
        own = " · ".join(part for part in title if part not in shared)
        notes += [f"{own}: " * bool(own) + caption.range_text(f, "center") for f in fields]
        notes.append(" · ".join(part for part in setting if part not in common))
    if any(field.stderr is not None for fields in every for field in fields):
        notes.append("bands: ± 2 standard errors (SE) of the mean over the samples")
    notes.append(" · ".join(common))
    notes += dict.fromkeys(caption.slice_note(surface) for surface in surfaces)
    return [*([short(heading, 300)] if heading else []), *shared], notes
