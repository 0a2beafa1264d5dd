"""A training path on the plane of an existing surface: projected and evaluated."""

from __future__ import annotations

import copy
import gc
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choices import Choices
from losscape_mpi.evaluation.evaluator import Evaluator
from losscape_mpi.evaluation.process import configure_torch, open_device
from losscape_mpi.farm.devices import affinity
from losscape_mpi.geometry.trajectory.checkpoint import read_metadata
from losscape_mpi.geometry.trajectory.projection import Projection, project_path
from losscape_mpi.geometry.trajectory.rows import PathRows, path_sha256
from losscape_mpi.prepare import Task, prepare
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.checkpoint import load_into, read_state
from losscape_mpi.progress import Progress
from losscape_mpi.store.surface import Trajectory
from losscape_mpi.study.config import FarmConfig, Study


def follow_path(study: Study, files: Sequence[Path], with_loss: bool) -> Trajectory:
    """Return a training path on the plane of a study's surface file.

    Args:
        study: The study that the file was computed from.
        files: The checkpoints in the order of training.
        with_loss: Whether the checkpoints and their projections are evaluated.

    Raises:
        UserError: If the file holds another study, or a checkpoint is not of its network.
    """
    task = prepare(study, fresh=False)
    if task.manifest is None:
        raise UserError(f"{study.output}: no such surface file; run losscape_mpi.surface first")
    rows = PathRows(files, moving_tensors(task))
    projection = project_path(rows, task.directions)
    own, plane = np.zeros((0, 0)), np.zeros((0, 0))
    columns: list[str] = []
    if with_loss:
        columns = task.columns
        own, plane = _evaluate(task, files, projection.coordinates)
    return Trajectory(
        rows.labels,
        projection.coordinates[:, 0],
        projection.coordinates[:, 1] if len(task.directions) > 1 else np.zeros(len(files)),
        projection.residual,
        {name: own[:, k] for k, name in enumerate(columns)},
        {name: plane[:, k] for k, name in enumerate(columns)},
        _record(files, projection),
    )


def moving_tensors(task: Task) -> dict[str, np.ndarray]:
    """Return all that a path is compared in: floating parameters, and buffers that the plane moves.

    Args:
        task: Of the surface.

    Returns:
        float64 arrays of the center by name.
    """
    model = task.problem.model
    moved = {name for direction in task.directions.values() for name in direction}
    tensors: dict[str, torch.Tensor] = dict(model.named_parameters())
    tensors |= {name: buffer for name, buffer in model.named_buffers() if name in moved}
    return {
        name: tensor.detach().to("cpu", torch.float64).numpy()
        for name, tensor in tensors.items()
        if tensor.is_floating_point()
    }


def _evaluate(
    task: Task, files: Sequence[Path], coordinates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the value columns of checkpoints and of their projections, (t, num_columns) each."""
    configure_torch()
    farm = task.study.farm
    device = open_device(_device_of(farm))
    on_plane = _evaluator(task, task.problem, device)
    own, plane = [], []
    gc.freeze()  # the collection after each checkpoint looks at what is new alone: 10 ms, not 0.3 s
    with Progress(f"{task.study.output.name}: path", len(files), 0, 1) as progress:
        progress.begin()
        for path, x in zip(files, coordinates, strict=True):
            own.append(_evaluate_checkpoint(task, path, device))
            is_somewhere = bool(np.isfinite(x).all())
            nowhere = np.full(len(task.columns), np.nan)
            plane.append(on_plane.evaluate(*x.tolist()) if is_somewhere else nowhere)
            progress.add(1)
    gc.unfreeze()
    return np.array(own), np.array(plane)


def _evaluate_checkpoint(task: Task, path: Path, device: torch.device) -> np.ndarray:
    """Return the value columns of a checkpoint with its own buffers, shape (num_columns,)."""
    model = copy.deepcopy(task.problem.model)
    load_into(model, read_state(path), path)
    try:
        return _evaluator(task, replace(task.problem, model=model), device).evaluate(0.0, 0.0)
    finally:
        gc.collect()  # an evaluator refers to itself and holds a copy of the data


def _evaluator(task: Task, problem: Problem, device: torch.device) -> Evaluator:
    """Return an evaluator of all samples in full precision, whatever the surface estimates."""
    if task.manifest is None:
        raise ValueError("found no surface file")
    choices = Choices.of(task.manifest["choices"])
    is_wide = choices.precision == "float64"
    choices = replace(choices, precision="float64" if is_wide else "float32", correction=0)
    directions = {
        axis: {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        for axis, arrays in task.directions.items()
    }
    threads = task.study.farm.threads
    count = 1 if device.type == "cuda" else len(affinity()) if threads == "auto" else threads
    return Evaluator(problem, directions, task.study.metrics, choices, device, count)


def _device_of(farm: FarmConfig) -> str:
    if farm.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return farm.device


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
