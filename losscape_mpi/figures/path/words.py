"""The words of a path's movie: its clock, the axes, a frame's titles and the small print."""

from __future__ import annotations

import numpy as np

from losscape_mpi.figures import caption
from losscape_mpi.figures.field import Field
from losscape_mpi.figures.text import short
from losscape_mpi.store.surface import Surface, Trajectory

AXES = ("alpha", "beta")


def clock_of(path: Trajectory) -> tuple[str, list[int]]:
    """Return what counts the checkpoints (epoch, step or checkpoint), and its numbers."""
    for unit in ("epoch", "step"):
        told = path.record.get(f"{unit}s") or []
        numbers = [int(text) for text in told if text is not None and str(text).isdecimal()]
        if len(numbers) == len(path.labels) and len(set(numbers)) == len(numbers):
            return unit, numbers
    return "checkpoint", list(range(len(path.labels)))


def axis_label(surface: Surface, axis: str) -> str:
    """Return an axis's label; of a principal direction with its share beside a random walk's."""
    records = surface.manifest.get("plane", {}).get("axes") or {}
    first, place = records.get("alpha") or {}, AXES.index(axis)
    shares, null = first.get("shares") or [], first.get("null_shares") or []
    is_path = all((records.get(name) or {}).get("kind") == "pca" for name in AXES)
    if not is_path or min(len(shares), len(null)) <= place:
        return caption.axis_label(surface, axis)
    words = f"{caption.GREEK[axis]}: principal direction {place + 1}"
    share = f"{_percent(shares[place])} of variance (random walk {_percent(null[place])})"
    return f"{words}: {share}" if axis == "alpha" else f"{words}\n{share}"


def map_title(path: Trajectory, field: Field, index: int) -> str:
    """Return the two lines over the map: the clock, then losses and residual of a checkpoint."""
    unit, numbers = clock_of(path)
    own, plane = (values.get(field.column) for values in (path.values, path.plane_values))
    words = [f"residual {path.residual[index]:.2f}"]
    if own is not None and plane is not None:
        words = [
            f"{field.words} {own[index]:.4g}",
            f"under the path {plane[index]:.4g}",
            *words,
        ]
    return f"{unit} {numbers[index]} of {numbers[-1]}\n{' · '.join(words)}"


def regions_title(path: Trajectory, surface: Surface, index: int) -> str:
    """Return the two lines over the decision regions: what they are, and the accuracies."""
    found = [surface.find(split, "accuracy") for split in surface.splits]
    words = [
        f"{short(column.split, 40)} {_percent(path.values[column.name][index])}"
        for column in found
        if column and column.name in path.values
    ]
    return "decision regions of this checkpoint" + (
        f"\naccuracy: {', '.join(words)}" if words else "\n"
    )


def path_notes(path: Trajectory, field: Field) -> list[str]:
    """Return the small print: how path and plane belong together, and the surface's range."""
    notes = [
        "Path: least-squares projection of the checkpoints onto the plane. Residual: distance from "
        "the plane over distance from the center (+), where it is 0." + _variance(path),
        caption.range_text(field, "+ center"),
    ]
    if outside := _num_outside(path, field):
        notes[0] += f" {outside} checkpoints lie outside the drawn plane."
    return notes


def _variance(path: Trajectory) -> str:
    own, null = (path.record.get(key, {}).get("centered") for key in ("explained", "null"))
    if own is None or null is None:
        return ""
    return (
        f" The plane holds {_percent(own)} of the path's variance, the best one of a random walk "
        f"with these steps {_percent(null)}."
    )


def _num_outside(path: Trajectory, field: Field) -> int:
    inside = (path.alpha >= field.alpha.min()) & (path.alpha <= field.alpha.max())
    inside &= (path.beta >= field.beta.min()) & (path.beta <= field.beta.max())
    return int(np.count_nonzero(~inside))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
