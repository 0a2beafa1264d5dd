"""Fonts for the texts of a figure: another installed one where matplotlib's own lacks a character.

A character that no font has is written as its escape sequence, and said so once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

from losscape_mpi.figures.library import silence
from losscape_mpi.figures.text import escaped

logger = logging.getLogger(__name__)

# Parts of names of fonts with many scripts, the best first.
PREFERRED = ("CJK", "Source Han", "WenQuanYi", "Gothic", "YaHei", "PingFang", "Noto Sans")
UNFIT = ("LastResort", "Last Resort", "cm", "STIXNon", "STIXSize")  # beginnings: other letters
MOST_FONTS = 400  # that are looked into
OWN_NUMBER = re.compile(r"(\$(?:-|-?[\d.]+\\times)?10\^\{-?\d+\}\$)")  # scale.number_text's


def settle_texts(figure: Figure) -> None:
    """Give all texts of a figure fonts that have their characters; a user's $ is a dollar sign.

    To be called when all texts are there, before the layout.
    """
    for text in _texts(figure):
        words = text.get_text()
        if text.get_parse_math() and "$" in words:
            words = _without_math(words)
        if not words.isascii():
            names, lost = _lookup(frozenset(words), _base(text.get_fontproperties()))
            words = _replaced(words, lost)
            if names:
                text.set_fontfamily([*text.get_fontfamily(), *names])
        if words != text.get_text():
            text.set_text(words)


def readable(text: str) -> str:
    """Return a text with escape sequences for the characters that no installed font has."""
    if text.isascii():
        return text
    return _replaced(text, _lookup(frozenset(text), _base(FontProperties()))[1])


def num_cells(text: str) -> int:
    """Return how wide a text is, in letters: those of a fallback font may be twice as wide."""
    if text.isascii():
        return len(text)
    names, _ = _lookup(frozenset(text), _base(FontProperties()))
    return len(text) + (sum(c > "\u2e7f" for c in text) if names else 0)


@cache
def tell_missing_font(family: str, path: Path) -> None:
    """Say, once, that a style file's font is not installed."""
    if family not in font_manager.font_family_aliases and _path(family) is None:
        logger.warning("%s: found no font named %s here; another one stands in", path, family)


def _texts(artist: Artist) -> Iterator[Text]:
    """Yield the texts of a figure but the numbers along its axes, which are ours."""
    for child in artist.get_children():
        if isinstance(child, Axis):
            yield child.label
            continue
        if isinstance(child, Text):
            yield child
        yield from _texts(child)


def _without_math(words: str) -> str:
    """Return a text in which only numbers of ours are formulas."""
    parts = OWN_NUMBER.split(words)  # every second one is a number
    parts[::2] = [part.replace("$", r"\$") for part in parts[::2]]
    return "".join(parts)


def _replaced(text: str, lost: frozenset[str]) -> str:
    return "".join(escaped(c) if c in lost else c for c in text) if lost else text


@cache
def _base(properties: FontProperties) -> str:
    return str(font_manager.findfont(properties))


@cache
def _lookup(characters: frozenset[str], base: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the names of fonts that help a font out, and the characters that none has."""
    lost = frozenset(c for c in characters if not c.isspace() and not _has(base, c))
    names: list[str] = []
    for name in _candidates() if lost else ():
        path = _path(name)
        found = {c for c in lost if path and _has(path, c)}
        if found:
            names.append(name)
            lost -= found
        if not lost:
            break
    if lost:
        _tell(lost)
    return tuple(names), lost


@cache
def _tell(lost: frozenset[str]) -> None:
    logger.warning(
        "no font found here has %s: written as escape sequences; install one that has, such as "
        "Noto Sans CJK",
        " ".join(sorted(lost)[:12]) + " …" * (len(lost) > 12),
    )


@cache
def _candidates() -> list[str]:
    names = {entry.name for entry in font_manager.fontManager.ttflist}
    fit = [n for n in sorted(names) if not n.startswith(UNFIT) and "Emoji" not in n]

    def rank(name: str) -> int:
        return next((k for k, part in enumerate(PREFERRED) if part in name), len(PREFERRED))

    return sorted(fit, key=rank)[:MOST_FONTS]


@cache
def _path(name: str) -> str | None:
    try:
        with silence():
            return str(font_manager.findfont(FontProperties([name]), fallback_to_default=False))
    except ValueError:
        return None


def _has(path: str, character: str) -> bool:
    font: Any = font_manager.get_font(path)
    try:
        return bool(font.get_char_index(ord(character)))
    except (RuntimeError, ValueError):
        return False
