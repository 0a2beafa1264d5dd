"""What a browser is shown: the page of surface files, read anew when they have changed."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path

from losscape_mpi.errors import UserError, printable
from losscape_mpi.figures.page.write import page_data, page_html
from losscape_mpi.store.reader import read_surface
from losscape_mpi.store.surface import Surface
from losscape_mpi.terminal.status_rows import points_text

logger = logging.getLogger(__name__)

Mark = tuple[tuple[int, ...] | None, ...]

WAITING = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{seconds}">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Waiting – loss surface</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 20vh auto; padding: 0 1rem;
max-width: 40rem; overflow-wrap: anywhere; }}</style>
</head>
<body>
<h1>No surface yet</h1>
<p role="status">{text}</p>
<p>This page looks again by itself.</p>
</body>
</html>
"""


@dataclass(frozen=True)
class Answer:
    """What a browser gets.

    Attributes:
        content: The body.
        kind: Its media type.
    """

    content: bytes
    kind: str

    @cached_property
    def mark(self) -> str:
        """What changes when the content does, as an HTTP entity tag."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


class Source:
    """Surface files and what is shown of them; one thread looks, any number ask.

    Attributes:
        surfaces: The last ones that could be read; empty before.
        trouble: Why there is nothing newer, in one line; empty if there is.
    """

    def __init__(self, paths: Sequence[Path], seconds: float) -> None:
        """Begin without having looked.

        Args:
            paths: Surface files, there or not.
            seconds: After which a page asks again.
        """
        self.surfaces: list[Surface] = []
        self.trouble = "not looked at yet"
        self._paths, self._seconds = list(paths), seconds
        self._mark: Mark | None = None
        self._lock = threading.Lock()
        self._is_new = False  # whether the page is of older surfaces
        self._was_pending = False
        self._page: Answer | None = None
        self._data: Answer | None = None

    def look(self) -> bool:
        """Read the files if one has changed since the last look; returns whether one has."""
        mark = tuple(map(_mark_of, self._paths))
        if mark == self._mark:
            return False
        self._mark = mark
        missing = [printable(p) for p, each in zip(self._paths, mark, strict=True) if each is None]
        try:
            if missing:
                raise UserError(f"{', '.join(missing)}: not there, waiting for it")
            surfaces = [read_surface(path) for path in self._paths]
            data = page_data(surfaces)
        except UserError as error:
            self._note(str(error))
            return True
        with self._lock:
            self.surfaces, self._is_new = surfaces, True
            self._data = Answer(data.encode(), "application/json")
        self._note("")
        return True

    def page(self) -> Answer:
        """Return the page as it stands: of the surfaces, or that there are none yet."""
        with self._lock:
            if self._is_new:
                try:
                    self._page = _html(page_html(self.surfaces, self._seconds))
                    self._is_new = False
                except UserError as error:  # it was replaced after the last look
                    self.trouble = str(error)
            return self._page or self._waiting()

    def data(self) -> Answer:
        """Return what an open page takes: new numbers, or in one line why there are none."""
        with self._lock:
            if self.trouble or self._data is None:
                text = json.dumps({"message": f"No new numbers: {self.trouble}."})
                return Answer(text.encode(), "application/json")
            return self._data

    def _waiting(self) -> Answer:
        text = escape(self.trouble, quote=False)
        return _html(WAITING.format(seconds=max(1, round(self._seconds)), text=text))

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            logger.warning("%s", printable(trouble))
        pending = [surface.counts()["pending"] for surface in self.surfaces]
        is_news = bool(self.trouble) or (self._was_pending and not any(pending))
        if not trouble and is_news:
            for surface in self.surfaces:
                logger.info("%s: %s", printable(surface.path), points_text(surface))
        self._was_pending = any(pending)
        self.trouble = trouble


def _html(text: str) -> Answer:
    return Answer(text.encode(errors="backslashreplace"), "text/html; charset=utf-8")


def _mark_of(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file is written or replaced; None if there is none."""
    try:
        about = path.stat()
    except (OSError, ValueError):
        return None
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns
