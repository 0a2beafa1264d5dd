"""One line at the bottom of a terminal that shows how far a run is; messages scroll above it.

Other processes of a run write to the same terminal without asking: other ranks, the network that is
evaluated. So the cursor waits on an empty line above the bar, where their next line goes, and the
bar is drawn again below that. It is written to the terminal itself, never to standard error, which
may be copied into a file on its way.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable

from losscape_mpi.terminal.device import Terminal

FRAME_S = 0.25
SETTLE_S = 0.3  # a line that goes through a launcher arrives within this time
ERASE = "\r\x1b[J"  # from the cursor's line to the end of the screen
WIDTH = 80

_shown: list[Bar] = []  # one at most: a process has one terminal


def clear_bar(for_good: bool = False) -> None:
    """Take the bar off the terminal before a message is written; it comes back by itself.

    May be called by a signal handler.

    Args:
        for_good: Whether it does not come back: a run that is being stopped may be killed soon.
    """
    for bar in _shown:
        bar.clear(for_good)


class Bar:
    """Draws a text of one line again and again; see the module."""

    def __init__(self, terminal: Terminal, text: Callable[[int], str]) -> None:
        """Take over a terminal; nothing is drawn before `start`.

        Args:
            terminal: Its descriptor is closed at the end.
            text: Gives the line for so many columns.
        """
        self._terminal, self._text = terminal.number, text
        self._gap = 2 if terminal.has_launcher else 1  # Hydra says two lines at Ctrl-C
        self._lock = threading.RLock()  # a signal handler may clear while the bar is cleared
        self._quiet_until = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw_often, name="bar", daemon=True)

    def start(self) -> None:
        """Draw from now on."""
        _shown[:] = [self]
        self._thread.start()

    def clear(self, for_good: bool = False) -> None:
        """Erase the line, and leave the terminal to others for a moment, or for good."""
        with self._lock:
            now = math.inf if for_good else time.monotonic()
            self._quiet_until = max(self._quiet_until, now + SETTLE_S)
            self._write(ERASE)

    def stop(self) -> None:
        """Erase the line for good."""
        self._ended.set()
        self._thread.join()
        _shown.clear()
        self._write(ERASE)
        os.close(self._terminal)

    def _draw_often(self) -> None:
        while not self._ended.wait(FRAME_S):
            with self._lock:
                if time.monotonic() >= self._quiet_until and not self._ended.is_set():
                    self._draw()

    def _draw(self) -> None:
        try:
            columns = os.get_terminal_size(self._terminal).columns or WIDTH
        except OSError:
            return
        # The last column stays free: a full line makes some terminals begin a new one.
        down, up = "\r\n" * self._gap, f"\x1b[{self._gap}A\r"
        self._write(f"{ERASE}{down}{self._text(columns - 1)}{up}")

    def _write(self, text: str) -> None:
        try:
            os.write(self._terminal, text.encode())
        except BlockingIOError:
            pass  # a stopped terminal misses a frame
        except OSError:
            self._ended.set()  # the terminal is gone, the run is not
