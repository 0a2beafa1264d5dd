"""Ctrl-C and SIGTERM: the first one asks for a soft stop, the second one ends at once."""

from __future__ import annotations

import signal
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """A flag that signals set and the master polls."""

    def __init__(self) -> None:
        """Take over SIGINT and SIGTERM of this process."""
        self._name = ""
        for number in SIGNALS:
            signal.signal(number, self._note)

    def __call__(self) -> bool:
        """Return whether the run should end."""
        return bool(self._name)

    @property
    def reason(self) -> str:
        """The name of the signal, such as SIGINT; empty if there was none."""
        return self._name

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._name:
            raise KeyboardInterrupt
        self._name = signal.Signals(number).name


def leave_signals_to_the_master() -> None:
    """Ignore SIGINT and SIGTERM: rank 0 gets them too and tells this worker what to do."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
