"""A training path on the plane of an existing surface: projected and evaluated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.geometry.trajectory.checkpoint import read_metadata
from losscape_mpi.geometry.trajectory.projection import Projection, project_path
from losscape_mpi.geometry.trajectory.rows import PathRows, path_sha256
from losscape_mpi.point.column import Column
from losscape_mpi.problem.number import as_array, numbers_of
from losscape_mpi.run.collect import collect_rows
from losscape_mpi.run.compute import Never
from losscape_mpi.run.prepare import Prepared, prepare
from losscape_mpi.run.progress import Progress
from losscape_mpi.run.ranks import local_pool
from losscape_mpi.store.surface import Trajectory
from losscape_mpi.study.config import Study
from losscape_mpi.task.job import CHECKPOINTS, POINTS


def follow_path(study: Study, files: Sequence[Path], with_loss: bool) -> Trajectory:
    """Return a training path on the plane of a study's surface file.

    Args:
        study: The study that the file was computed from.
        files: The checkpoints in the order of training.
        with_loss: Whether the checkpoints and their projections are evaluated.

    Raises:
        UserError: If the file holds another study, or a checkpoint is not of its network.
    """
    prepared = prepare(study)
    if prepared.manifest is None:
        raise UserError(f"{study.output}: no such surface file; run losscape_mpi.surface first")
    rows = PathRows(files, moving_tensors(prepared), key=prepared.problem.checkpoint_key)
    projection = project_path(rows, prepared.directions)
    own, plane = np.zeros((0, 0)), np.zeros((0, 0))
    columns: list[Column] = []
    if with_loss:
        columns = prepared.measures.sample_columns
        own, plane = _evaluate(prepared, files, projection.coordinates)
    return Trajectory(
        rows.labels,
        projection.coordinates[:, 0],
        projection.coordinates[:, 1] if len(prepared.directions) > 1 else np.zeros(len(files)),
        projection.residual,
        {column.name: own[:, k] for k, column in enumerate(columns)},
        {column.name: plane[:, k] for k, column in enumerate(columns)},
        _record(files, projection),
    )


def moving_tensors(prepared: Prepared) -> dict[str, np.ndarray]:
    """Return all that a path is compared in: floating parameters, and buffers that the plane moves.

    Args:
        prepared: The study of the surface.

    Returns:
        float64 arrays of the center by name; complex ones as pairs.
    """
    model = prepared.problem.model
    moved = {name for direction in prepared.directions.values() for name in direction}
    tensors: dict[str, torch.Tensor] = dict(model.named_parameters())
    tensors |= {name: buffer for name, buffer in model.named_buffers() if name in moved}
    return {name: as_array(tensor) for name, tensor in numbers_of(tensors).items()}


def _evaluate(
    prepared: Prepared, files: Sequence[Path], coordinates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the value columns of checkpoints and of their projections, (t, num_columns) each.

    All samples in full precision, whatever the surface estimates.
    """
    job = prepared.job(_full_choices(prepared))
    job = replace(job, metrics=tuple(prepared.measures.sample_names))
    checkpoints = replace(job, where=CHECKPOINTS, directions={}, files=_names(files))
    somewhere = np.flatnonzero(np.isfinite(coordinates).all(axis=1))
    points = replace(job, where=POINTS, points=coordinates[somewhere])
    width, count = len(prepared.measures.sample_columns), len(files)
    plane = np.full((count, width), np.nan)
    name = f"{prepared.study.output.name}: path"
    total = count + len(somewhere)
    with local_pool(prepared.study.farm) as pool, Progress(name, total, 0, 1) as progress:
        pool.introductions(Never())
        progress.begin()
        own = collect_rows(pool, checkpoints, count, width, counted=progress.add)
        if len(somewhere):
            found = collect_rows(pool, points, len(somewhere), width, counted=progress.add)
            plane[somewhere] = found
    return own, plane


def _full_choices(prepared: Prepared) -> Choices:
    if prepared.manifest is None:
        raise ValueError("found no surface file")
    choices = Choices.of(prepared.manifest["choices"])
    is_wide = choices.precision == "float64"
    return replace(choices, precision="float64" if is_wide else "float32", correction=0)


def _names(files: Sequence[Path]) -> tuple[str, ...]:
    return tuple(str(path.absolute()) for path in files)


def _record(files: Sequence[Path], projection: Projection) -> dict[str, Any]:
    told = [read_metadata(path) for path in files]
    return {
        "sha256": path_sha256(files),
        "epochs": [data.get("epoch") for data in told],
        "steps": [data.get("step") for data in told],
        "norms": _finite(projection.norms),
        "step_norms": _finite(projection.steps),
        "explained": projection.explained,
        "null": projection.null,
        "projected": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _finite(values: Iterable[float]) -> list[float | None]:
    """Return numbers as JSON knows them: None for those that are not finite."""
    return [float(value) if math.isfinite(value) else None for value in values]
