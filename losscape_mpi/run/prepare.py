"""From a study to a run: everything read that defines its result, the existing file among it."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from losscape_mpi.errors import MismatchError, UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.memory import choose
from losscape_mpi.files import check_writable
from losscape_mpi.geometry.direction import DirectionArrays
from losscape_mpi.geometry.trajectory.rows import checkpoint_files, path_sha256
from losscape_mpi.measure.build import Measures, build_measures
from losscape_mpi.point.column import Column
from losscape_mpi.point.status import CHOSEN
from losscape_mpi.problem.build import Problem, build_problem
from losscape_mpi.problem.data.split import TooFewSamplesError
from losscape_mpi.run.path import path_places
from losscape_mpi.run.plane import make_directions, plane_hashes
from losscape_mpi.store.reader import read_surface
from losscape_mpi.store.surface import Surface
from losscape_mpi.study.config import Study
from losscape_mpi.study.grid import Grid
from losscape_mpi.study.identity import differences, identity
from losscape_mpi.study.places import Places
from losscape_mpi.study.preview import limit_samples
from losscape_mpi.task.build import read_hashes
from losscape_mpi.task.job import CHECKPOINTS, GRID, Job

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A study with everything read that defines its result.

    Attributes:
        study: The resolved study.
        places: Its points.
        problem: Model, data and loss on the CPU.
        measures: What is computed at each point.
        hashes: SHA-256 of checkpoint, center, data, code and of what the places are made of.
        directions: Arrays by axis and parameter name; empty for a training path.
        record: What the manifest says of the places beside the study: under "plane" or "path".
        files: Checkpoints of a training path, in order.
        existing: The surface of the existing file, or None for a new one.
    """

    study: Study
    places: Places
    problem: Problem
    measures: Measures
    hashes: dict[str, Any]
    directions: DirectionArrays
    record: dict[str, Any]
    files: tuple[str, ...] = ()
    existing: Surface | None = None

    @property
    def columns(self) -> list[Column]:
        """What each point has, in the order of a row."""
        return self.measures.columns

    @property
    def manifest(self) -> dict[str, Any] | None:
        """That of the existing file; None for a new one."""
        return None if self.existing is None else self.existing.manifest

    @property
    def reference(self) -> np.ndarray | None:
        """The reference row of the existing file: the first worker's; None for a new one."""
        told = "" if self.existing is None else self.existing.provenance.get("center", "")
        return np.frombuffer(bytes.fromhex(told)) if told else None

    @property
    def is_complete(self) -> bool:
        """Whether the existing file has every point, and none is left to compute again."""
        if self.existing is None or self.existing.counts()["done"] < self.places.size:
            return False
        return not len(self.existing.marked(CHOSEN))

    def job(self, choices: Choices) -> Job:
        """Return the job of its points; the choices of a new file are yet to be tuned."""
        return Job(
            self.study,
            choices,
            self.hashes,
            self.directions,
            where=GRID if self.study.path is None else CHECKPOINTS,
            metrics=tuple(self.study.metrics),
            files=self.files,
            is_tuned=self.existing is not None,
        )


def prepare(study: Study, fresh: bool = False, *, takes_fewer: bool = False) -> Prepared:
    """Read the problem and the output file, and make or load the directions.

    Args:
        study: The resolved study.
        fresh: Move an existing file aside instead of resuming it.
        takes_fewer: Whether the study may take fewer samples than it says, where a split has no
            more: as many of each split as the smallest has. The result's study says how many.

    Raises:
        UserError: If an input is missing or wrong, or the output cannot be written.
        MismatchError: If the output holds another study.
    """
    check_writable(study.output)
    existing = read_surface(study.output) if study.output.exists() and not fresh else None
    study, problem = _read_problem(study, takes_fewer)
    hashes = read_hashes(problem, tuple(study.metrics))
    make = _on_plane if study.path is None else _along_path
    prepared = make(study, problem, hashes, existing)
    _check_columns(prepared)
    return prepared


def starting_choices(prepared: Prepared, devices: Sequence[np.void]) -> Choices:
    """Return the file's choices if it exists, else what tuning starts from on these devices."""
    if prepared.manifest is not None:
        return Choices.of(prepared.manifest["choices"])
    evaluation = prepared.study.evaluation
    return choose(
        prepared.problem,
        evaluation.precision,
        evaluation.batch_size,
        is_cuda=bool(devices[0]["is_cuda"]),
        memory_bytes=min(int(device["memory_bytes"]) for device in devices),
    )


def _on_plane(
    study: Study, problem: Problem, hashes: dict[str, Any], existing: Surface | None
) -> Prepared:
    hashes = hashes | plane_hashes(study)
    _check_identity(study, hashes, existing)
    manifest = None if existing is None else existing.manifest
    directions, record = make_directions(study, problem, manifest)
    measures = build_measures(study.metrics, problem, directions)
    grid = Grid.from_config(study.grid)
    made = Prepared(study, grid, problem, measures, hashes, directions, {"plane": record})
    return replace(made, existing=existing)


def _along_path(
    study: Study, problem: Problem, hashes: dict[str, Any], existing: Surface | None
) -> Prepared:
    if study.path is None:
        raise ValueError("the study has no path")
    files = checkpoint_files(study.path.checkpoints)
    hashes = hashes | {"path": path_sha256(files)}
    _check_identity(study, hashes, existing)
    places, labels = path_places(files, study.path.axis)
    record = {"path": {"axis": places.axis, "labels": labels}}
    measures = build_measures(study.metrics, problem, {})
    names = tuple(str(file) for file in files)
    made = Prepared(study, places, problem, measures, hashes, {}, record, names)
    return replace(made, existing=existing)


def _read_problem(study: Study, takes_fewer: bool) -> tuple[Study, Problem]:
    while True:
        try:
            return study, build_problem(study.problem, study.evaluation.precision)
        except TooFewSamplesError as error:
            if not takes_fewer:
                raise
            study = limit_samples(study, error.available)


def _check_columns(prepared: Prepared) -> None:
    """Refuse a file whose points have other columns than this run computes."""
    existing, wanted = prepared.existing, [column.name for column in prepared.columns]
    if existing is not None and list(existing.values) != wanted:
        raise UserError(
            f"{existing.path} holds the columns {', '.join(existing.values)}, expected "
            f"{', '.join(wanted)}; move it away and run again"
        )


def _check_identity(study: Study, hashes: dict[str, Any], existing: Surface | None) -> None:
    if existing is None:
        return
    found = existing.manifest["study"] | {"hashes": existing.manifest["hashes"]}
    wanted = identity(study) | {"hashes": json.loads(json.dumps(hashes))}
    if fields := differences(found, wanted):
        raise MismatchError(
            f"{study.output} holds another study ({'; '.join(fields)}): choose another output, or "
            "pass --fresh to keep that file under a backup name and start anew"
        )
