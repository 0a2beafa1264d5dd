"""Several trainings at once: one process of this command for each."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

PARENT = "LOSSCAPE_TRAIN_PARENT"  # tells a process that it belongs to a command of several
POLL_S = 0.1
_PR_SET_PDEATHSIG = 1


def run_at_once(
    commands: Sequence[Sequence[str]], jobs: int, stopping: Callable[[], bool]
) -> list[int]:
    """Run commands, so many at a time, and return their exit codes.

    Args:
        commands: Program and arguments of each.
        jobs: Most processes at a time.
        stopping: Whether to end: running processes are sent SIGTERM, waiting ones never begin.

    Returns:
        One code for each command that began, in order.
    """
    waiting = list(commands)
    started: list[subprocess.Popen[bytes]] = []
    is_told = False
    environment = {**os.environ, PARENT: str(os.getpid())}
    try:
        while True:
            running = [process for process in started if process.poll() is None]
            if stopping() and not is_told:
                is_told = True
                waiting.clear()
                for process in running:
                    process.terminate()
            if not running and not waiting:
                return [process.returncode for process in started]
            if waiting and len(running) < jobs:
                started.append(subprocess.Popen(waiting.pop(0), env=environment))
                continue
            time.sleep(POLL_S)
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.wait()


def end_with_parent() -> None:
    """Let Linux stop this process softly when the command that started it is killed."""
    if sys.platform == "linux" and os.environ.get(PARENT) == str(os.getppid()):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
