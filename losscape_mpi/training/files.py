"""The files of a training: their names, what an earlier run left of them, and backups."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from losscape_mpi.errors import UserError
from losscape_mpi.files import move_aside, remove_partial, replaced
from losscape_mpi.training.config import TrainConfig
from losscape_mpi.training.session import Row


class TrainingFiles:
    """Where a training writes: all beside its checkpoint, but for the path."""

    def __init__(self, config: TrainConfig) -> None:
        """Name the files of a recipe; nothing is touched."""
        stem = config.output.with_suffix("")
        self.output = config.output
        self.state = stem.with_name(f"{stem.name}_state.safetensors")
        self.metrics = stem.with_name(f"{stem.name}_metrics.csv")
        self.curve = stem.with_name(f"{stem.name}_curve.png")
        self.path = None if config.path is None else config.path.folder

    def back_up(self) -> list[Path]:
        """Move everything that exists aside, to the first number that is free for all of it.

        Returns:
            The new paths: NAME.1.safetensors, NAME_metrics.1.csv, FOLDER.1 and so on.

        Raises:
            UserError: If a file cannot be moved.
        """
        everything = [self.output, self.state, self.metrics, self.curve]
        everything += [] if self.path is None else [self.path]
        return move_aside(everything)

    def refuse_foreign_path(self) -> None:
        """Check that no other training has checkpoints in the path's folder.

        Raises:
            UserError: If there is one.
        """
        found = sorted(self.path.glob("*.safetensors")) if self.path is not None else []
        if found:
            raise UserError(
                f"{self.path} holds {len(found)} checkpoints (first {found[0].name}), expected "
                "none before a training: choose another path.folder, or pass --fresh to keep "
                "the old ones under a backup name"
            )

    def remove_partial(self) -> None:
        """Remove what a killed run of this training left half-written; no other may be running."""
        for path in (self.output, self.state, self.metrics, self.curve):
            remove_partial(path.parent, path.name)
        if self.path is not None:
            remove_partial(self.path)


def write_metrics(path: Path, rows: Sequence[Row]) -> None:
    """Write measured rows as CSV: whole, or not at all. Values are exact (shortest decimal).

    Raises:
        UserError: If the file cannot be written.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    with replaced(path) as temporary:
        temporary.write_text(text.getvalue())
