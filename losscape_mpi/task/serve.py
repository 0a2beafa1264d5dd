"""What an evaluator process does: one job after another, each with its chunks."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Iterator

import torch

from losscape_mpi.errors import UserError, first_line
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
from losscape_mpi.point.records import Answers, Chunk, pack_ready
from losscape_mpi.problem.build import Problem
from losscape_mpi.task.build import begin_task, load_problem
from losscape_mpi.task.device import configure_torch, describe_device, open_device
from losscape_mpi.task.job import Job
from losscape_mpi.task.task import Host, Task

MOST_TRACEBACKS = 3  # of different errors; what follows is a line each


def serve_rank(options: argparse.Namespace) -> int:
    """Serve one rank: device, then jobs, until the pipe closes; returns the exit code."""
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
    told: set[str] = set()
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
            for answer in all_answers(task, Chunk.unpack(body), host.device, told):
                # Point by point, so that the rank knows which one a crash belongs to.
                write_frame(options.write_fd, POINT, answer.pack())
        else:
            task.take(kind, body)


def all_answers(
    task: Task, chunk: Chunk, device: torch.device, told: set[str]
) -> Iterator[Answers]:
    """Yield the answer for each index of a chunk; one at which the user's code raises has failed.

    Points that are computed together raise together: they are halved until it is clear which.

    Args:
        task: What answers.
        chunk: What is asked for.
        device: Where it computes.
        told: Errors whose traceback has been written.

    Raises:
        UserError: If a task finds a mistake of the user's.
        RuntimeError: If the device works no more: this process is of no use then.
    """
    count = 0
    try:
        for answer in task.answers(chunk):
            yield answer
            count += 1
        return
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # raises where the context is lost
        reason = f"{type(error).__name__}: {first_line(error)}"
        rest = chunk.indices[count:]
        if len(rest) == 1 and reason not in told and len(told) < MOST_TRACEBACKS:
            told.add(reason)
            traceback.print_exc(limit=-3, file=sys.stderr)  # the rest is ours
    if len(rest) == 1:
        yield Answers.failed(chunk.id, int(rest[0]), reason=reason)
        return
    for half in (rest[: len(rest) // 2], rest[len(rest) // 2 :]):
        yield from all_answers(task, Chunk(chunk.id, half), device, told)


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
