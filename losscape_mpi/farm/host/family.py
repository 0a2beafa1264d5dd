"""A process with all that it starts ends as a whole, also when this rank is killed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
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


def bind_forks() -> None:
    """Let what is forked in this process from now on die with it: a model may do so on rank 0."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        os.register_at_fork(after_in_child=lambda: library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))


def end_children() -> None:
    """Kill what a model has started in this process, with its children."""
    parents = {pid: parent for pid, (parent, _) in _processes().items()}
    doomed = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in doomed} - doomed:
        doomed |= more
    for pid in doomed - {os.getpid()}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _session(leader: int) -> list[int]:
    return [pid for pid, (_, session) in _processes().items() if session == leader]


def _processes() -> dict[int, tuple[int, int]]:
    """Return parent and session of each process; nothing where there is no /proc."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # pid (name) state ppid pgrp session
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            found[int(entry.name)] = int(fields[1]), int(fields[3])
    return found
