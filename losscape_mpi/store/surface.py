"""A surface in memory: what every reader of a surface file works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from losscape_mpi.point.column import (
    Column,
    columns_from_names,
    error_of,
    named,
    quantities,
    splits,
    values_of,
)
from losscape_mpi.point.status import DONE, FAILED, NONFINITE, PENDING


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A training path seen on the plane of a surface.

    Attributes:
        labels: Name of each checkpoint, in the order of training; t of them.
        alpha: Least-squares coordinate on axis 0, shape (t,).
        beta: On axis 1, shape (t,); 0 on a profile.
        residual: Distance from the plane over distance from the center, shape (t,): 0 in the
            plane, 1 at a right angle to it.
        values: Losses and accuracies of the checkpoints themselves by column name such as
            "train/loss", shape (t,) each.
        plane_values: The same at their projections onto the plane.
        record: How it was made, as plain JSON values.
    """

    labels: list[str]
    alpha: np.ndarray
    beta: np.ndarray
    residual: np.ndarray
    values: dict[str, np.ndarray]
    plane_values: dict[str, np.ndarray]
    record: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Surface:
    """The values of one study on its grid, with all that made them.

    Attributes:
        path: File the surface was read from.
        manifest: What defines the result (study, hashes, choices).
        provenance: What made the file (versions, launcher, host).
        alpha: Coordinates of axis 0, shape (n,).
        beta: Coordinates of axis 1, shape (m,); [0.] for a 1-D profile.
        values: Arrays (n, m) by column name such as "train/loss" or "train/loss_stderr";
            NaN where not computed.
        status: Codes (n, m): 0 pending, 1 done, 2 done and not finite, 3 failed.
        crc: Checksum of each point's values, (n, m).
        seconds: Time that each point took, (n, m).
        worker: Row of the workers table that computed each point, (n, m).
        attempts: How often each point was tried, (n, m).
        trajectories: Training paths on the plane, by name.
        columns: What each of the values is, by name; told by their names where it is not given.
        axis_names: What axis 0 and axis 1 are called; a training path has one axis, such as
            "epoch", whose coordinates stand under alpha.
        recheck: Whether each point is computed a second time and how that ended, codes of
            `point.status`, (n, m); None in files that were begun before there was that.
    """

    path: Path
    manifest: dict[str, Any]
    provenance: dict[str, Any]
    alpha: np.ndarray
    beta: np.ndarray
    values: dict[str, np.ndarray]
    status: np.ndarray
    crc: np.ndarray
    seconds: np.ndarray
    worker: np.ndarray
    attempts: np.ndarray
    trajectories: dict[str, Trajectory] = field(default_factory=dict)
    columns: dict[str, Column] = field(default_factory=dict)
    axis_names: tuple[str, ...] = ("alpha", "beta")
    recheck: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not self.columns:
            told = named(columns_from_names(list(self.values)))
            object.__setattr__(self, "columns", told)

    @property
    def is_path(self) -> bool:
        """Whether the points are the checkpoints of a training path instead of a plane's."""
        return self.manifest["study"].get("path") is not None

    @property
    def is_line(self) -> bool:
        """Whether the surface is a 1-D profile along alpha, or along a training path."""
        return self.is_path or self.manifest["study"]["grid"]["beta"] is None

    @property
    def splits(self) -> list[str]:
        """Names of the evaluated splits, in the order of the file's columns."""
        # A measure of a user's own may give columns that belong to no samples.
        evaluated = self.manifest.get("splits")
        return [s for s in splits(self.columns.values()) if not evaluated or s in evaluated]

    @property
    def metrics(self) -> list[str]:
        """What is computed of each split, such as "loss": no errors, residuals, counts, parts."""
        return quantities(self.columns.values())

    def results(self, split: str | None = None) -> list[Column]:
        """Return the columns that are results, of one split or of all."""
        return [c for c in values_of(self.columns.values()) if split in (None, c.split)]

    def find(self, split: str, quantity: str) -> Column | None:
        """Return the column of a split and a quantity; None where the file has none."""
        here = (c for c in self.columns.values() if (c.split, c.quantity) == (split, quantity))
        return next(here, None)

    def error(self, column: str) -> np.ndarray | None:
        """Return the standard errors of a column, shape (n, m); None where the file has none."""
        found = error_of(self.columns.values(), column)
        return None if found is None else self.values[found.name]

    def marked(self, code: int) -> np.ndarray:
        """Return the flat indices of the points whose second computation has that code."""
        return np.zeros(0, int) if self.recheck is None else np.flatnonzero(self.recheck == code)

    def counts(self) -> dict[str, int]:
        """Return the number of points in each state; done includes the non-finite ones."""
        words = {"nonfinite": NONFINITE, "failed": FAILED, "pending": PENDING}
        found = {word: int(np.count_nonzero(self.status == code)) for word, code in words.items()}
        done = int(np.count_nonzero(self.status == DONE)) + found["nonfinite"]
        return {"total": self.status.size, "done": done, **found}


def axis_names_of(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a file's axes: of the plane, or of the training path."""
    if manifest["study"].get("path") is not None:
        return (str(manifest["path"]["axis"]),)
    return ("alpha", "beta")
