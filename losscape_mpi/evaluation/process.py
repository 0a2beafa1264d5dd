"""The evaluator process: `python -m losscape_mpi.evaluation.process`, started by a rank.

It talks over two pipes (see `wire`) and never imports MPI. It ends when its rank does.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import torch

from losscape_mpi import wire
from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.anchored import AnchoredEvaluator
from losscape_mpi.evaluation.checks import check_determinism
from losscape_mpi.evaluation.choices import Choices
from losscape_mpi.evaluation.decide import build_evaluator, decide
from losscape_mpi.evaluation.evaluator import Evaluates, is_finite
from losscape_mpi.evaluation.job import Job
from losscape_mpi.point.status import DONE, NONFINITE
from losscape_mpi.problem.build import Problem, build_problem
from losscape_mpi.study.columns import value_columns
from losscape_mpi.study.grid import Grid

_PR_SET_PDEATHSIG = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one rank: device, job, center, then chunks until the pipe closes."""
    options = _parse(argv)
    die_with_parent()
    configure_torch()
    try:
        device = open_device(options.device)
        record = describe_device(device, options.threads)
        wire.write_frame(options.write_fd, wire.HELLO, record.tobytes())
        kind, block = wire.read_frame(options.read_fd)
        if kind != wire.JOB:
            raise ValueError(f"found frame {kind!r}, expected a job")
        serve(Job.from_bytes(block), device, options)
    except wire.PipeClosedError:
        return 0  # the rank has gone, or wants no more
    except UserError as error:
        wire.write_frame(options.write_fd, wire.MISTAKE, str(error).encode())
        return 1
    return 0


def serve(job: Job, device: torch.device, options: argparse.Namespace) -> None:
    """Build the evaluator, report the values at the center, answer chunks for ever."""
    problem = build_problem(job.study.problem, job.study.evaluation.precision)
    job.check_hashes(problem.hashes, socket.gethostname())
    choices = job.choices if job.is_tuned else _tuned(job, problem, device, options)
    evaluator = build_evaluator(
        job.study, problem, job.tensors(), job.study.metrics, choices, device, options.threads
    )
    # One evaluator of a run proves determinism; the others' centers are compared with it.
    center = check_determinism(evaluator, problem) if options.check else evaluator.evaluate(0.0)
    seconds = np.float64(_seconds_at_center(evaluator))
    wire.write_frame(options.write_fd, wire.READY, seconds.tobytes() + center.tobytes())
    grid = Grid.from_config(job.study.grid)
    columns = value_columns(job.study.problem.data.splits, job.study.metrics)
    while True:
        kind, body = wire.read_frame(options.read_fd)
        if kind == wire.ANCHORS and isinstance(evaluator, AnchoredEvaluator):
            table = np.frombuffer(body, dtype="<f8").reshape(-1, len(columns))
            evaluator.set_anchors(table, lambda: wire.write_frame(options.write_fd, wire.BUSY))
            continue
        chunk = np.frombuffer(body, dtype=wire.CHUNK_RECORD)[0]
        for answer in answer_points(chunk["points"][: chunk["count"]], evaluator, grid, columns):
            # Point by point, so that the rank knows which one a crash belongs to.
            wire.write_frame(options.write_fd, wire.POINT, answer.tobytes())


def answer_points(
    indices: np.ndarray, evaluator: Evaluates, grid: Grid, columns: Sequence[str]
) -> Iterator[np.ndarray]:
    """Yield the record, shape (1,), of each point by its flat index.

    Points that are computed together share their seconds.
    """
    for start in range(0, len(indices), evaluator.group):
        group = [int(index) for index in indices[start : start + evaluator.group]]
        began = time.perf_counter()
        rows = list(evaluator.evaluate_many([grid.point(index) for index in group]))
        seconds = (time.perf_counter() - began) / len(group)
        for index, row in zip(group, rows, strict=True):
            yield _answer(index, row, seconds, columns)


def _answer(index: int, values: np.ndarray, seconds: float, columns: Sequence[str]) -> np.ndarray:
    answer = np.zeros(1, dtype=wire.point_record(len(columns)))
    status = DONE if is_finite(values, columns) else NONFINITE
    answer[0] = (index, status, 1, seconds, values)
    return answer


def _tuned(
    job: Job, problem: Problem, device: torch.device, options: argparse.Namespace
) -> Choices:
    """Return the final choices: measured here by the process that proves, else waited for."""

    def note(text: str) -> None:
        wire.write_frame(options.write_fd, wire.NOTE, text.encode())

    def busy() -> None:
        wire.write_frame(options.write_fd, wire.BUSY)

    if options.check:
        given = job.study, problem, job.tensors(), job.choices
        choices, record = decide(*given, device, options.threads, note, busy)
        text = json.dumps(asdict(choices) | {"precision_error": record})
        wire.write_frame(options.write_fd, wire.CHOICES, text.encode())
    else:
        wire.write_frame(options.write_fd, wire.WAITING)
    kind, body = wire.read_frame(options.read_fd)
    if kind != wire.CHOICES:
        raise ValueError(f"found frame {kind!r}, expected the choices")
    return Choices.of(json.loads(body))


def _seconds_at_center(evaluator: Evaluates) -> float:
    """Return the seconds that a point takes, for the estimate of the run's cost."""
    start = time.perf_counter()
    for _row in evaluator.evaluate_many([(0.0, 0.0)] * evaluator.group):
        pass
    return (time.perf_counter() - start) / evaluator.group


def configure_torch() -> None:
    """Make arithmetic exact and repeatable: no TF32, no autotuning, one thread for each batch."""
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # Of the two ways to ask torch for this, the one that does not import its compiler: that takes a
    # second. A model that compiles itself imports it later, and finds the variable.
    torch.set_deterministic_debug_mode("warn")
    os.environ["TORCHINDUCTOR_DETERMINISTIC"] = "1"


def open_device(kind: str) -> torch.device:
    """Return the device of this process; CUDA_VISIBLE_DEVICES names exactly one GPU.

    Raises:
        UserError: If CUDA is asked for and does not work.
    """
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError(
            f"host {socket.gethostname()}: found no working CUDA device, expected one "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')}); "
            "set farm.device=cpu or ask the scheduler for a GPU"
        )
    return torch.device("cuda:0")


def describe_device(device: torch.device, threads: int) -> np.ndarray:
    """Return the record, shape (1,), that introduces this process to the farm."""
    record = np.zeros(1, dtype=wire.DEVICE_RECORD)
    record["host"] = socket.gethostname().encode()
    record["threads"] = threads
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(0)
        record["name"], record["is_cuda"] = properties.name.encode(), 1
        record["uuid"] = str(getattr(properties, "uuid", "")).encode()
        record["memory_bytes"] = properties.total_memory
    else:
        record["name"] = processor_name().encode()
        record["memory_bytes"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return record


def processor_name() -> str:
    """Return the processor's name and vector extension, on which a value's bits depend."""
    name = "CPU"
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
        name = names[0] if names else name
    except OSError:
        pass  # not Linux: the extension alone has to do
    return f"{name} {torch.backends.cpu.get_cpu_capability()}"


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
