"""The rows of `status` that come from a file's manifest and values."""

from __future__ import annotations

import numpy as np

from losscape_mpi.point.status import CHOSEN, FAILED, OTHER, SAME
from losscape_mpi.store.evaluation_text import estimator_text, passes_text, precision_text
from losscape_mpi.store.line import line_numbers, line_text
from losscape_mpi.store.path_text import path_text
from losscape_mpi.store.reader import Activity
from losscape_mpi.store.surface import Surface

Rows = list[tuple[str, str]]
NUM_FAILED_SHOWN = 3


def points_text(surface: Surface) -> str:
    """Return how many points are done, pending and failed."""
    counts = surface.counts()
    parts = [f"{counts['done']} of {counts['total']} done"]
    names = {"nonfinite": "of them not finite", "pending": "pending", "failed": "failed"}
    parts += [f"{counts[key]} {text}" for key, text in names.items() if counts[key]]
    return ", ".join(parts)


def trouble_rows(surface: Surface) -> Rows:
    """Return which points failed, how many were tried again, which had other values then."""
    rows = []
    failed = np.argwhere(surface.status == FAILED)
    for i, j in failed[:NUM_FAILED_SHOWN]:
        rows.append(("failed", f"{_point_text(surface, i, j)}, {surface.attempts[i, j]} tries"))
    if len(failed) > NUM_FAILED_SHOWN:
        rows.append(("failed", f"and {len(failed) - NUM_FAILED_SHOWN} more points"))
    if again := int(((surface.attempts > 1) & (surface.status != FAILED)).sum()):
        rows.append(("tried again", f"{again} points, whose evaluator died or gave no answer"))
    return rows + _recheck_rows(surface)


def _point_text(surface: Surface, i: int, j: int) -> str:
    place = f"{surface.axis_names[0]} {surface.alpha[i]:.6g}"
    place += "" if surface.is_line else f", beta {surface.beta[j]:.6g}"
    what = "checkpoint" if surface.is_path else "point"
    return f"{what} {i * len(surface.beta) + j} at {place}"


def _recheck_rows(surface: Surface) -> Rows:
    """Return what the points that are computed a second time gave; nothing where there are none."""
    if surface.recheck is None:
        return []
    same, left = len(surface.marked(SAME)), len(surface.marked(CHOSEN))
    rows = []
    for k in surface.marked(OTHER)[:NUM_FAILED_SHOWN]:
        i, j = np.unravel_index(k, surface.status.shape)
        rows.append(("not true", f"{_point_text(surface, i, j)} had other values the second time"))
    if more := len(surface.marked(OTHER)) - NUM_FAILED_SHOWN:
        rows += [("not true", f"and {more} more points")] if more > 0 else []
    texts = [f"{same} with the same values"] if same else []
    texts += [f"{left} still to come"] if left else []
    return [*rows, ("computed twice", ", ".join(texts))] if texts else rows


def origin_rows(surface: Surface) -> Rows:
    """Return study, network, data, plane, evaluation and what made the file."""
    provenance, study = surface.provenance, surface.manifest["study"]
    problem, told = study.get("problem", {}), surface.manifest.get("splits", {})
    splits = [(name, told[name]) for name in surface.splits if name in told]
    data = ", ".join(f"{s.get('samples')} of {s.get('available')} {n}" for n, s in splits)
    versions, checkpoint = provenance.get("versions", {}), provenance.get("checkpoint_name")
    made_by = (f"{name} {versions.get(name, 'unknown')}" for name in ("losscape_mpi", "torch"))
    return [
        ("study", str(provenance.get("name", ""))),
        ("network", problem.get("model", "") + (f", checkpoint {checkpoint}" * bool(checkpoint))),
        ("data", f"{problem.get('data', {}).get('name', '')}, {data}"),
        ("path", path_text(surface)) if surface.is_path else ("plane", _plane(surface)),
        *_evaluation(surface),
        ("made by", ", ".join(made_by)),
        ("created", f"{provenance.get('created', '')} on {provenance.get('host', '')}"),
    ]


def _plane(surface: Surface) -> str:
    plane = surface.manifest["study"].get("plane", {})
    kind = str(surface.manifest.get("plane", {}).get("kind", plane.get("kind")))
    recipe = f"{plane.get('normalize')}, {plane.get('ignore')}, seed {plane.get('seed')}"
    return kind + (f", {recipe}" if kind == "random" else "")


def worker_rows(surface: Surface, activity: Activity) -> Rows:
    """Return what each worker computed, and why one is gone."""
    rows = []
    for number, worker in enumerate(activity.workers):
        mine = (surface.worker == number) & (surface.attempts > 0)
        gone, host, device = (
            bytes(worker[key]).decode(errors="replace") for key in ("gone", "host", "device")
        )
        if mine.any() or gone:
            seconds = float(np.median(surface.seconds[mine])) if mine.any() else 0.0
            text = f"{mine.sum()} of them, median {seconds:.3g} s, {host}: {device}"
            rows.append((f"worker {number}", (f"{gone}; " if gone else "") + text))
    return rows


def value_rows(surface: Surface) -> Rows:
    """Return the range of every result."""
    rows = []
    for column in surface.results():
        values = surface.values[column.name]
        is_finite = np.isfinite(values)
        values = values if is_finite.all() else values[is_finite]
        if values.size:
            name = f"{column.split} {column.quantity}"
            rows.append((name, f"{values.min():.6g} to {values.max():.6g}"))
    return rows


def line_rows(surface: Surface) -> Rows:
    """Return barrier and monotonicity of a line to another checkpoint; nothing of other files."""
    if surface.is_path:
        return []
    alpha = surface.manifest.get("plane", {}).get("axes", {}).get("alpha", {})
    both_ends = {0.0, 1.0} <= set(surface.alpha.tolist())
    if not surface.is_line or alpha.get("kind") != "target" or not both_ends:
        return []
    if surface.counts()["pending"]:
        return []
    numbers = [line_numbers(surface, column.name) for column in surface.results()]
    return [row for each in numbers for row in line_text(each)]


def _evaluation(surface: Surface) -> Rows:
    manifest = surface.manifest
    texts = [precision_text(manifest), passes_text(manifest), estimator_text(manifest)]
    names = ["precision", "evaluation", "estimator"]
    return [(name, text) for name, text in zip(names, texts, strict=True) if text]
