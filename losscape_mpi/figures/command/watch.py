"""Drawing a running file again and again, for `losscape_mpi.render --watch`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from losscape_mpi.store.surface import Surface


def watch(
    path: Path,
    load: Callable[[Path], Surface],
    draw: Callable[[Surface], list[Path]],
    seconds: float,
    sleep: Callable[[float], None] | None = None,
) -> None:
    """Draw a surface file whenever it has new points, until none is missing or Ctrl-C.

    Reading takes no lock and never disturbs the run that writes the file.

    Args:
        path: The surface file.
        load: Reads it.
        draw: Draws the surface and returns the written paths.
        seconds: Time between two looks.
        sleep: Waits so many seconds; None is time.sleep.

    Raises:
        UserError: If the file cannot be read or drawn.
    """
    before: np.ndarray | None = None
    try:
        while True:
            surface = load(path)
            counts = surface.counts()
            if before is None or not np.array_equal(before, surface.status):
                _say(f"{counts['done']} of {counts['total']} points", _drawn(surface, draw))
                before = surface.status
            if not counts["pending"]:
                return
            (sleep or time.sleep)(seconds)
    except KeyboardInterrupt:
        return


def _drawn(surface: Surface, draw: Callable[[Surface], list[Path]]) -> list[Path]:
    """Return what was drawn; nothing before the first value."""
    return draw(surface) if surface.counts()["done"] else []


def _say(text: str, paths: list[Path]) -> None:
    stamp = time.strftime("%H:%M:%S")
    print(f"{stamp} {text}", *paths, sep="\n  ", flush=True)  # noqa: T201
