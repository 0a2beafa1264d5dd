"""The plane of a training path: its two principal directions, by the Gram matrix of its rows.

The P x P covariance of ResNet-56 would have 2.9 TB; the t x t matrix K = M M' has the same
non-zero eigenvalues, and the principal directions are M' u / s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import (
    Axes,
    Center,
    Direction,
    Made,
    as_float32,
    moved_names,
    needed,
)
from losscape_mpi.geometry.fixed_order import length, symmetric_eigen
from losscape_mpi.geometry.norm_removal import NormRemoval
from losscape_mpi.geometry.role import Roles
from losscape_mpi.geometry.trajectory.gram import Lengths, combine, gram_matrix, measure_path
from losscape_mpi.geometry.trajectory.random_walk import center_gram, random_walk_gram, shares
from losscape_mpi.geometry.trajectory.rows import PathRows, checkpoint_files, path_sha256
from losscape_mpi.problem.part import read_parts
from losscape_mpi.study.plane_config import AxisConfig

MAX_SHARES = 10  # kept in the record
FLAT_SHARE = 1e-12  # of the variance: what rounding leaves of a direction that is not there


def directions(settings: AxisConfig, axes: Axes, center: Center) -> dict[str, Made]:
    """Return the principal directions of a training path, the first along the first axis.

    What is known of the path stands with the first axis, its coordinates with each.

    Args:
        settings: checkpoints, ignore, centered and norm_removed.
        axes: One or two of the plane's axes.
        center: The trained parameters.
    """
    found, record = pca_plane(
        _files(settings),
        center.weights,
        axes,
        ignore=settings.ignore,
        centered=settings.centered,
        norm_removed=settings.norm_removed,
        roles=center.roles,
        key=center.problem.checkpoint_key if center.problem else None,
    )
    coordinates = record.pop("coordinates")
    recipe = {key: record[key] for key in ("ignore", "centered", "norm_removed")}
    return {
        axis: Made(
            found[axis], recipe | ({} if number else record) | {"coordinates": coordinates[axis]}
        )
        for number, axis in enumerate(axes)
    }


def hashes(settings: AxisConfig) -> dict[str, Any]:
    """Return the SHA-256 over the path's checkpoints, in order."""
    return {"checkpoints": path_sha256(_files(settings))}


def pca_plane(
    files: Sequence[Path],
    center: dict[str, np.ndarray],
    axes: Sequence[str],
    *,
    ignore: str,
    centered: bool,
    norm_removed: bool = False,
    roles: Roles | None = None,
    key: str | None = None,
) -> tuple[dict[str, Direction], dict[str, Any]]:
    """Return the principal directions of a training path, of length 1, and how they were found.

    Rows are theta_t - theta*. Li et al. 2018 (arXiv:1712.09913) describe the matrix of these; the
    PCA that their code calls takes them about their mean. A random walk concentrates too: compare
    `shares` with `null_shares`, those of a walk with the path's own steps, never alone.

    Args:
        files: The checkpoints in the order of training, see `trajectory.rows.checkpoint_files`.
        center: theta*, all parameters in float64, complex ones as pairs.
        axes: The first gets the first principal direction, the second the second.
        ignore: biasbn leaves biases and norm layers out of the rows, and the directions are 0
            there; none takes all parameters.
        centered: Whether the rows are taken about their mean.
        norm_removed: Whether each filter of a checkpoint is scaled to the norm of the center's
            first; each tensor as a whole where the network has no batch norm.
        roles: What parameters are in their layers.
        key: Which part of the checkpoints, where they hold several.

    Returns:
        Directions by axis: float32, the entry of largest magnitude positive. A record of plain
        JSON values: `shares` and `null_shares` (at most 10), `rows` (the names), `norms`, `steps`,
        `coordinates` by axis and `residuals` of every row, `centered`, `ignore`, `norm_removed`.

    Raises:
        UserError: If a checkpoint does not fit or is not finite, or the path has fewer principal
            directions than axes.
    """
    rule = _norm_rule(files[0]) if norm_removed else None
    removal, frame = None, Center(center, roles or {})
    if rule is not None:
        removal = NormRemoval(frame, ignore=ignore, by_filter=rule == "filter")
    still = center.keys() - set(moved_names(frame, ignore))
    rows = PathRows(files, center, still=still, removal=removal, key=key)
    lengths = measure_path(rows)
    _check_finite(rows, lengths)
    gram = gram_matrix(rows)
    weights, observed = _principal(gram, centered, len(axes), rows)
    vectors = combine(rows, weights)
    signs = np.array([_sign(vector) for vector in vectors])
    scaled = [v * (s / length(v)) for v, s in zip(vectors, signs, strict=True)]
    directions = {a: _direction(rows, v) for a, v in zip(axes, scaled, strict=True)}
    positions = (gram[:, :, None] * weights[None]).sum(axis=1) * signs  # (t, k)
    recipe = {"centered": centered, "ignore": ignore, "norm_removed": rule}
    return directions, recipe | _record(rows, lengths, axes, positions, observed, centered)


def _files(settings: AxisConfig) -> list[Path]:
    source = settings.checkpoints
    return checkpoint_files(source if isinstance(source, Path) else needed(source))


def _principal(
    gram: np.ndarray, centered: bool, count: int, rows: PathRows
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (t, k) whose sums of rows are the principal directions, and all shares."""
    values, vectors = symmetric_eigen(center_gram(gram) if centered else gram)
    values, vectors = values[::-1].clip(min=0.0), vectors[:, ::-1]
    total = float(values.sum())
    found = int((values[:count] > FLAT_SHARE * total).sum())
    if found < count:
        raise UserError(
            f"the path of {len(rows)} checkpoints ({rows.labels[0]} to {rows.labels[-1]}) has "
            f"{found} principal direction{'' if found == 1 else 's'}, expected {count}: take a "
            "path of more checkpoints that differ" + (", or set grid.beta to null" if found else "")
        )
    weights = vectors[:, :count] / np.sqrt(values[:count])
    if centered:
        weights = weights - weights.mean(axis=0)  # J u = u but for rounding
    return weights, values / total


def _record(
    rows: PathRows,
    lengths: Lengths,
    axes: Sequence[str],
    positions: np.ndarray,
    observed: np.ndarray,
    centered: bool,
) -> dict[str, Any]:
    null = shares(random_walk_gram(lengths.steps, lengths.norms), centered)
    squares = np.square(lengths.norms)
    outside = (squares - np.square(positions).sum(axis=1)).clip(min=0.0)
    safe = np.where(squares > 0, squares, 1.0)
    return {
        "rows": rows.labels,
        "shares": observed[:MAX_SHARES].tolist(),
        "null_shares": null[:MAX_SHARES].tolist(),
        "norms": lengths.norms.tolist(),
        "steps": lengths.steps.tolist(),
        "coordinates": {axis: positions[:, k].tolist() for k, axis in enumerate(axes)},
        "residuals": np.sqrt(outside / safe).tolist(),
    }


def _direction(rows: PathRows, vector: np.ndarray) -> Direction:
    return {name: as_float32(tensor) for name, tensor in rows.unflatten(vector).items()}


def _sign(vector: np.ndarray) -> float:
    return math.copysign(1.0, vector[np.argmax(np.abs(vector))])


def _check_finite(rows: PathRows, lengths: Lengths) -> None:
    if bad := np.flatnonzero(~np.isfinite(lengths.norms)).tolist():
        raise UserError(
            f"the checkpoint {rows.labels[bad[0]]} of the path holds NaN or infinity, expected "
            f"finite numbers: leave it out ({len(bad)} such)"
        )


def _norm_rule(path: Path) -> str:
    """Return what is scaled as one: a filter where there is batch norm, else a layer."""
    has_batch_norm = any(
        name.endswith("running_var") for state in read_parts(path).values() for name in state
    )
    return "filter" if has_batch_norm else "layer"
