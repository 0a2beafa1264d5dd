"""How a run ended, for the exit code and for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from losscape_mpi.point.status import CHOSEN, OTHER

if TYPE_CHECKING:
    from losscape_mpi.run.verdict import Verdict
    from losscape_mpi.store.surface import Surface

COMPLETE = 0
FAILED_POINTS = 3
RESUMABLE = 75


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        code: Exit code: 0 complete, 3 with failed points, 75 resumable.
        text: One line for the person who asked; empty where the log has said it.
    """

    code: int
    text: str = ""


def exit_code(surface: Surface) -> int:
    """Return 0 for a complete surface, 75 if points are pending, else 3 if any is wrong."""
    counts = surface.counts()
    if not counts["pending"] and (counts["failed"] or len(surface.marked(OTHER))):
        return FAILED_POINTS
    return RESUMABLE if counts["pending"] or len(surface.marked(CHOSEN)) else COMPLETE


def already_complete(
    path: Path, counts: Mapping[str, int], verdict: Verdict | None = None
) -> Outcome:
    """Return the outcome of a run that found every point done."""
    if verdict and verdict.trouble:
        return _untrue(path, verdict)
    return Outcome(COMPLETE, f"{path}: already complete, {counts['done']} points{_notes(counts)}")


def stopped_early(path: Path, counts: Mapping[str, int] | None, stop: str) -> Outcome:
    """Return the outcome of a run that stopped before it computed a point.

    Args:
        path: The file.
        counts: Of the points that earlier runs left in it; None where there is no file.
        stop: What stopped the run.
    """
    kept = "nothing is written yet"
    if counts is not None:
        kept = f"{counts['done']} of {counts['total']} points of earlier runs are kept"
    return Outcome(
        RESUMABLE,
        f"{path}: stopped by {stop} before the first point, {kept}; run the same command again "
        "to go on",
    )


def outcome_of(
    path: Path,
    total: int,
    counts: Mapping[str, int],
    stop: str,
    spent: str,
    verdict: Verdict | None = None,
    where: str = "",
) -> Outcome:
    """Return the outcome of a run from what its file holds.

    Args:
        path: The file.
        total: Points of the study.
        counts: As `SurfaceWriter.counts` gives them.
        stop: What stopped the run early, empty if nothing did.
        spent: How long it took.
        verdict: What the points that were computed a second time gave, where there are any.
        where: What follows the number of failed points.
    """
    notes = _notes(counts) + (where if counts["failed"] else "")
    if counts["done"] + counts["failed"] < total:
        why = stop or "the loss of all workers"
        return Outcome(
            RESUMABLE,
            f"{path}: {counts['done']} of {total} points are kept{notes}, stopped by {why}; "
            "run the same command again to go on",
        )
    if counts["failed"]:
        return Outcome(
            FAILED_POINTS,
            f"{path}: {counts['done']} of {total} points{notes}, {spent}; the same command "
            "tries the failed ones again",
        )
    return _twice(path, f"{total} points{notes}", stop, spent, verdict)


def _twice(path: Path, points: str, stop: str, spent: str, verdict: Verdict | None) -> Outcome:
    """Return the outcome of a run that has every point, from those computed a second time."""
    if verdict and verdict.trouble:
        return _untrue(path, verdict)
    if verdict and verdict.left:
        why = f"stopped by {stop}" if stop else "which failed"
        return Outcome(
            RESUMABLE,
            f"{path}: {points}, "
            f"{verdict.left} of them still to be computed a second time, {why}; "
            "run the same command again to go on",
        )
    again = f"; {verdict.same} computed twice, with the same values" if verdict else ""
    return Outcome(COMPLETE, f"{path}: complete, {points}, {spent}{again}")


def _untrue(path: Path, verdict: Verdict) -> Outcome:
    return Outcome(
        FAILED_POINTS,
        f"{path}: not complete, {verdict.trouble}; expected values that depend on the point alone: "
        "make the network deterministic, then pass --fresh",
    )


def _notes(counts: Mapping[str, int]) -> str:
    words = (("nonfinite", "of them not finite"), ("failed", "failed"))
    return "".join(f", {counts[key]} {text}" for key, text in words if counts[key])
