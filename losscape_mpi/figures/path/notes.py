"""The small print under training paths on a map."""

from __future__ import annotations

import numpy as np

from losscape_mpi.figures.field import Field
from losscape_mpi.figures.text import short
from losscape_mpi.store.surface import Trajectory


def trajectory_notes(
    paths: dict[str, Trajectory], gaps: dict[str, np.ndarray], field: Field
) -> list[str]:
    """Return what a path over a map means, and how far off the plane each of them runs.

    Args:
        paths: By name.
        gaps: Value at each checkpoint minus that of its projection, by name of the path.
        field: What the map shows.
    """
    notes = [
        "Path: least-squares projection of the checkpoints, ○ the first; colour: distance from "
        "the plane over distance from the center. The height under it is not the path's loss, and "
        "between the grid's points interpolated; "
        f"gap: {field.words} at the checkpoint minus that at its projection."
    ]
    for name, path in paths.items():
        inside = (path.alpha >= field.alpha.min()) & (path.alpha <= field.alpha.max())
        inside &= (path.beta >= field.beta.min()) & (path.beta <= field.beta.max())
        words = f"{short(name, 40)}: {len(path.labels)} checkpoints"
        words += f", {int((~inside).sum())} of them outside the drawn plane" * (not inside.all())
        words += f" · residual {_span(path.residual)} · gap {_span(gaps[name])}"
        words += _variance_words(path)
        notes.append(words)
    return notes


def _variance_words(path: Trajectory) -> str:
    """Return the share of the path's variance in the plane, beside that of a random walk."""
    shares = [path.record.get(key, {}).get("centered") for key in ("explained", "null")]
    if None in shares:
        return ""
    own, null = (f"{100 * share:.3g} %" for share in shares)
    return f" · the plane holds {own} of its variance, {null} of a random walk's"


def _span(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite.min():.3g} to {finite.max():.3g}" if len(finite) else "not recorded"
