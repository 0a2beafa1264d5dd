"""The evaluator process: `python -m losscape_mpi.task.process`, started by a rank.

It talks over two pipes (`point.frames`) and never imports MPI. It serves one job after another
and ends when its rank does.
"""

from __future__ import annotations

import argparse
import ctypes
import signal
import sys
import time
from collections.abc import Sequence

from losscape_mpi.errors import UserError
from losscape_mpi.point.frames import (
    BUSY,
    CHUNK,
    DECISION,
    HELLO,
    JOB,
    MISTAKE,
    NOTE,
    POINT,
    READY,
    WAITING,
    PipeClosedError,
    read_frame,
    write_frame,
)
from losscape_mpi.point.records import Chunk, pack_ready
from losscape_mpi.problem.build import Problem
from losscape_mpi.task.build import begin_task, load_problem
from losscape_mpi.task.device import configure_torch, describe_device, open_device
from losscape_mpi.task.job import Job
from losscape_mpi.task.task import Host, Task

_PR_SET_PDEATHSIG = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one rank: device, then jobs, each with its chunks, until the pipe closes."""
    options = _parse(argv)
    die_with_parent()
    configure_torch()
    try:
        device = open_device(options.device)
        record = describe_device(device, options.threads)
        write_frame(options.write_fd, HELLO, record.tobytes())
        host = Host(device, options.threads, options.check, *_voice(options))
        serve(options, host)
    except PipeClosedError:
        return 0  # the rank has gone, or wants no more
    except UserError as error:
        write_frame(options.write_fd, MISTAKE, str(error).encode())
        return 1
    return 0


def serve(options: argparse.Namespace, host: Host) -> None:
    """Answer whatever the rank asks for, for ever."""
    task: Task | None = None
    problem: tuple[str, Problem] | None = None
    while True:
        kind, body = read_frame(options.read_fd)
        if kind == JOB:
            task = None  # its memory first
            job = Job.from_bytes(body)
            problem = load_problem(job, problem)
            task = begin_task(job, problem[1], host)
            _report_ready(options, task)
        elif task is None:
            raise ValueError(f"found frame {kind!r}, expected a job")
        elif kind == CHUNK:
            for answer in task.answers(Chunk.unpack(body)):
                # Point by point, so that the rank knows which one a crash belongs to.
                write_frame(options.write_fd, POINT, answer.pack())
        else:
            task.take(kind, body)


def _report_ready(options: argparse.Namespace, task: Task) -> None:
    reference = task.reference()
    begin = time.perf_counter()
    points = task.rehearse()
    seconds = (time.perf_counter() - begin) / points
    write_frame(options.write_fd, READY, pack_ready(seconds, reference))


def _voice(options: argparse.Namespace) -> tuple:
    """Return how a task speaks to the rank: a line, a sign of life, a decision for all."""

    def note(text: str) -> None:
        write_frame(options.write_fd, NOTE, text.encode())

    def busy() -> None:
        write_frame(options.write_fd, BUSY)

    def agree(own: bytes | None) -> bytes:
        write_frame(options.write_fd, *((WAITING, b"") if own is None else (DECISION, own)))
        kind, body = read_frame(options.read_fd)
        if kind != DECISION:
            raise ValueError(f"found frame {kind!r}, expected a decision")
        return body

    return note, busy, agree


def die_with_parent() -> None:
    """Let nothing but the rank end this process, and the rank's death in any case.

    A batch system sends SIGTERM to every process of a job: the rank decides what it means. Linux
    kills this process when its rank dies, even by SIGKILL in mid-point.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read-fd", type=int, required=True)
    parser.add_argument("--write-fd", type=int, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--check", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
