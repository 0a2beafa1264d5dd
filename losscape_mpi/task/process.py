"""The evaluator process: `python -m losscape_mpi.task.process`, started by a rank.

It talks over two pipes (`point.frames`) and never imports MPI. It serves one job after another
and ends when its rank does, from its first moment on: what takes seconds is imported after that is
seen to.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one rank until the pipe closes; returns the exit code."""
    options = parse(argv)
    die_with_parent()
    if is_closed(options.read_fd):
        return 0  # the rank died before this process could ask to be told
    os.register_at_fork(after_in_child=lambda: _let_go(options))
    from losscape_mpi.task.serve import serve_rank

    return serve_rank(options)


def die_with_parent() -> None:
    """Let nothing but the rank end this process, and the rank's death in any case.

    A batch system sends SIGTERM to every process of a job: the rank decides what it means. Linux
    kills this process when its rank dies, even by SIGKILL in mid-point.
    """
    # No SIG_IGN: programs that a model starts would inherit it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def is_closed(descriptor: int) -> bool:
    """Return whether nobody writes to a pipe any more, and all that was written is read."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return any(event == select.POLLHUP for _, event in poll.poll(0))


def _let_go(options: argparse.Namespace) -> None:
    """In a process that a model forks: the pipes are not its own, and SIGTERM ends it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for descriptor in (options.read_fd, options.write_fd):
        if descriptor >= 0:
            os.close(descriptor)
    options.read_fd = options.write_fd = -1  # a fork of this process has other files there


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return what the rank says on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read-fd", type=int, required=True)
    parser.add_argument("--write-fd", type=int, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--check", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
