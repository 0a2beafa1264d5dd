"""A surface in memory: what every reader of a surface file works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from losscape_mpi.store.layout import DONE, FAILED, NONFINITE, PENDING


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

    @property
    def is_line(self) -> bool:
        """Whether the surface is a 1-D profile along alpha."""
        return self.manifest["study"]["grid"]["beta"] is None

    @property
    def splits(self) -> list[str]:
        """Names of the evaluated splits, in the order of the file's columns."""
        return list(dict.fromkeys(name.split("/")[0] for name in self.values))

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, without standard errors and counts."""
        names = dict.fromkeys(name.split("/")[1] for name in self.values)
        return [n for n in names if not n.endswith("_stderr") and n != "nonfinite"]

    def counts(self) -> dict[str, int]:
        """Return the number of points in each state; done includes the non-finite ones."""
        return {
            "total": self.status.size,
            "done": int(np.isin(self.status, (DONE, NONFINITE)).sum()),
            "nonfinite": int((self.status == NONFINITE).sum()),
            "failed": int((self.status == FAILED).sum()),
            "pending": int((self.status == PENDING).sum()),
        }
