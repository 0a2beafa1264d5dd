"""A training path as the places of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.trajectory.checkpoint import read_metadata
from losscape_mpi.study.places import PathPlaces

TOLD = ("epoch", "step")  # by checkpoints of `losscape_mpi.train`


def path_places(files: Sequence[Path], axis: str) -> tuple[PathPlaces, list[str]]:
    """Return checkpoints as places, and the names that they are told apart by.

    Args:
        files: The checkpoints in the order of training.
        axis: epoch, step or checkpoint (their number); auto takes the first that they all tell
            in rising order.

    Raises:
        UserError: If they do not tell what is asked for.
    """
    labels = [path.name for path in files]
    for name in TOLD if axis == "auto" else [axis]:
        if name not in TOLD:
            break
        told = [_number(read_metadata(path).get(name, "")) for path in files]
        numbers = np.array([t for t in told if t is not None], dtype=np.float64)
        if len(numbers) == len(told) and (np.diff(numbers) > 0).all():
            return PathPlaces(name, numbers), labels
        if axis == name:
            missing = next((p.name for p, t in zip(files, told, strict=True) if t is None), None)
            what = f"{missing} tells no {name}" if missing else f"{name}s that do not rise"
            raise UserError(
                f"path.axis: {name}: found {what}, expected checkpoints of losscape_mpi.train in "
                "the order of training; take path.axis: checkpoint"
            )
    return PathPlaces("checkpoint", np.arange(len(files), dtype=np.float64)), labels


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
