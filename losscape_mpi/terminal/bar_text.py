"""What the bar of a run says, in as many columns as a terminal has."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

MOST_COLUMNS = 24  # of the bar itself
FEWEST_COLUMNS = 6
NAME_SHARE = 4  # of a line's columns a name takes at most one in so many
DONE, LEFT = "━", "─"


def bar_line(name: str, done: int, total: int, notes: Sequence[str], columns: int) -> str:
    """Return one line that fits: name, bar, count and the longest note there is room for.

    Args:
        name: Of the run; cut where it is long.
        done: Finished points.
        total: All points, at least 1.
        notes: What is said behind the count, from the longest to the shortest.
        columns: Of the terminal.
    """
    count = f"{done}/{total}"
    short = _cut(name, columns // NAME_SHARE)
    for note in (*notes, ""):
        words = f"{count}  {note}" if note else count
        room = columns - cell_len(short) - cell_len(words) - 2
        if room >= FEWEST_COLUMNS:
            return f"{short} {_bar(done, total, min(room, MOST_COLUMNS))} {words}"
    return _cut(count, columns)


def _bar(done: int, total: int, columns: int) -> str:
    filled = columns * done // total
    return DONE * filled + LEFT * (columns - filled)


def _cut(text: str, columns: int) -> str:
    if cell_len(text) <= columns:
        return text
    return set_cell_size(text, columns - 1) + "…" if columns > 0 else ""
