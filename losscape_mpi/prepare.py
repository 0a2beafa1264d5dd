"""From a study to a run: what is computed, and the file that it goes to."""

from __future__ import annotations

import json
import logging
import os
import platform
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import numpy as np

from losscape_mpi.errors import MismatchError, UserError
from losscape_mpi.evaluation.choices import Choices
from losscape_mpi.evaluation.memory import choose
from losscape_mpi.files import check_writable
from losscape_mpi.prepare_plane import Arrays, make_directions, plane_hashes
from losscape_mpi.problem.build import Problem, build_problem
from losscape_mpi.problem.split import TooFewSamplesError
from losscape_mpi.scheduler import job_identifier
from losscape_mpi.store.create import back_up, create_surface
from losscape_mpi.store.layout import FORMAT, to_json
from losscape_mpi.store.reader import read_surface
from losscape_mpi.store.writer import SurfaceWriter
from losscape_mpi.study.columns import value_columns
from losscape_mpi.study.config import Study
from losscape_mpi.study.grid import Grid
from losscape_mpi.study.identity import differences, fingerprint, identity
from losscape_mpi.study.preview import limit_samples

logger = logging.getLogger(__name__)

MAX_STORED_DIRECTION_BYTES = 256 << 20


@dataclass(frozen=True, eq=False)
class Task:
    """A study with everything read that defines its result.

    Attributes:
        study: The resolved study.
        grid: Its points.
        columns: Names of a point's values.
        problem: Model, data and loss on the CPU.
        hashes: SHA-256 of checkpoint, center, data, code and direction file.
        directions: Arrays by axis and parameter name.
        plane: What the plane's record says.
        manifest: The existing file's manifest, or None for a new file.
        center: The values at the center that the existing file was begun with, shape
            (num_columns,), or None.
        is_complete: Whether the existing file has every point.
        nonfinite: Points of the existing file that are not finite.
    """

    study: Study
    grid: Grid
    columns: list[str]
    problem: Problem
    hashes: dict[str, Any]
    directions: Arrays
    plane: dict[str, Any]
    manifest: dict[str, Any] | None
    center: np.ndarray | None = None
    is_complete: bool = False
    nonfinite: int = 0


def prepare(study: Study, fresh: bool, *, takes_fewer: bool = False) -> Task:
    """Read the problem and the output file, and make or load the directions.

    Args:
        study: The resolved study.
        fresh: Move an existing file aside instead of resuming it.
        takes_fewer: Whether the study may take fewer samples than it says, where a split has no
            more: as many of each split as the smallest has. The task's study says how many.

    Raises:
        UserError: If an input is missing or wrong, or the output cannot be written.
        MismatchError: If the output holds another study.
    """
    check_writable(study.output)
    surface = read_surface(study.output) if study.output.exists() and not fresh else None
    manifest = surface.manifest if surface is not None else None
    study, problem = _read_problem(study, takes_fewer)
    hashes = dict(problem.hashes) | plane_hashes(study)
    if manifest is not None:
        _check_identity(study, hashes, manifest)
    directions, record = make_directions(study, problem, manifest)
    columns = value_columns(study.problem.data.splits, study.metrics)
    grid = Grid.from_config(study.grid)
    task = Task(study, grid, columns, problem, hashes, directions, record, manifest)
    if surface is None:
        return task
    center = np.frombuffer(bytes.fromhex(surface.provenance["center"]))
    counts = surface.counts()
    is_complete = counts["done"] == grid.size
    return replace(task, center=center, is_complete=is_complete, nonfinite=counts["nonfinite"])


def choices_for(task: Task, devices: Sequence[np.void]) -> Choices:
    """Return the file's choices if it exists, else what tuning starts from on these devices."""
    if task.manifest is not None:
        return Choices.of(task.manifest["choices"])
    evaluation = task.study.evaluation
    return choose(
        task.problem,
        evaluation.precision,
        evaluation.batch_size,
        is_cuda=bool(devices[0]["is_cuda"]),
        memory_bytes=min(int(device["memory_bytes"]) for device in devices),
    )


def open_output(
    task: Task, choices: Mapping[str, Any], launcher: str, fresh: bool, center: np.ndarray
) -> SurfaceWriter:
    """Return the writer of the task's surface file, which is created if there is none.

    Args:
        task: What is computed.
        choices: The record of what was chosen.
        launcher: What the provenance says about MPI.
        fresh: Whether an existing file is moved aside.
        center: Values at the center, kept in a new file to compare later workers with.
    """
    path = task.study.output
    if task.manifest is None:
        if fresh and path.exists():
            logger.info("%s: the old file is kept as %s", path, back_up(path).name)
        create_surface(
            path,
            to_json(make_manifest(task, choices)),
            to_json(make_provenance(task.study, launcher, center)),
            {"alpha": task.grid.alpha, "beta": task.grid.beta},
            task.columns,
            task.directions if _size(task.directions) <= MAX_STORED_DIRECTION_BYTES else {},
        )
    writer = SurfaceWriter(path)
    if task.manifest is not None and writer.manifest != task.manifest:
        writer.close()
        raise UserError(f"{path} was replaced by another run meanwhile; run again to look at it")
    job = job_identifier(os.environ)
    writer.start_run(datetime.now(UTC).timestamp(), socket.gethostname(), os.getpid(), job)
    return writer


def make_manifest(task: Task, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return what defines the result, see docs/file-format.md.

    Args:
        task: What is computed.
        choices: Fields of `Choices`, and how the precision was proved under `precision_error`.
    """
    asked = identity(task.study)
    return {
        "format": FORMAT,
        "study": asked,
        "hashes": task.hashes,
        "splits": {
            name: {"samples": len(split.targets), "available": split.available}
            for name, split in task.problem.splits.items()
        },
        "plane": task.plane,
        "choices": dict(choices),
        "fingerprint": fingerprint(asked, task.hashes),
    }


def make_provenance(study: Study, launcher: str, center: np.ndarray) -> dict[str, Any]:
    """Return what makes the file: no part of its identity."""
    checkpoint = study.problem.checkpoint
    return {
        "name": study.name,
        "checkpoint_name": checkpoint.name if checkpoint else None,
        "versions": {"python": platform.python_version()} | _package_versions(),
        "launcher": launcher,
        "center": center.astype("<f8").tobytes().hex(),  # all bits, NaN and infinity too
        "arguments": sys.argv[1:],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
    }


def _package_versions() -> dict[str, str]:
    packages = ("losscape_mpi", "torch", "numpy", "h5py", "mpi4py")
    found = {d.name for d in metadata.distributions()}
    return {name: metadata.version(name) for name in packages if name in found}


def _read_problem(study: Study, takes_fewer: bool) -> tuple[Study, Problem]:
    while True:
        try:
            return study, build_problem(study.problem, study.evaluation.precision)
        except TooFewSamplesError as error:
            if not takes_fewer:
                raise
            study = limit_samples(study, error.available)


def _check_identity(study: Study, hashes: dict[str, Any], manifest: dict[str, Any]) -> None:
    found = manifest["study"] | {"hashes": manifest["hashes"]}
    wanted = identity(study) | {"hashes": json.loads(json.dumps(hashes))}
    if fields := differences(found, wanted):
        raise MismatchError(
            f"{study.output} holds another study ({'; '.join(fields)}): choose another output, or "
            "pass --fresh to keep that file under a backup name and start anew"
        )


def _size(directions: Arrays) -> int:
    return sum(a.nbytes for direction in directions.values() for a in direction.values())
