"""A process with all that it starts: its session ends as a whole, also when this rank is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

# Its input is a pipe of this rank's: it ends when the rank does, whatever ends it.
_GUARD = "trap '' HUP INT TERM; read _; kill -9 -$0 2>/dev/null"


class Guard:
    """Kills a process group when this rank dies: a program waits for it, since no rank can."""

    def __init__(self, leader: int) -> None:
        """Guard the group that a process leads."""
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(leader)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """End the guard; call it while the leader's number cannot be another process's."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def end_session(leader: int) -> None:
    """Kill all processes of a session, the leader among them; it must not have been waited for."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    for pid in _session(leader):  # groups of their own in it
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _session(leader: int) -> list[int]:
    """Return the processes of a session; none where there is no /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # pid (name) state ppid pgrp session
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == leader:
                found.append(int(entry.name))
    return found
