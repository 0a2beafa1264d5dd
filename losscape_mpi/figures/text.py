"""Texts of files and users, as they may stand in a picture: one line, not too long, no controls."""

from __future__ import annotations

LONGEST = 160  # characters of one text; a title has several


def short(text: object, most: int = LONGEST) -> str:
    """Return a text on one line, what cannot be printed as escape sequences, a long one cut.

    Args:
        text: Of a file: may hold anything.
        most: Characters.
    """
    # Cut first: a text of millions of characters costs nothing.
    line = " ".join(str(text)[: 8 * most].split())[: most + 1]
    line = printable(line)
    return line if len(line) <= most else line[: most - 1] + "…"


def printable(text: str) -> str:
    """Return a text with escape sequences for what cannot be printed: controls, half characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else escaped(c) for c in text)


def escaped(text: str) -> str:
    """Return the escape sequences of a text's characters, such as "\\u7814"."""
    return text.encode("unicode_escape").decode("ascii")
