"""A training path: checkpoints in the order of training, streamed from their files."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.norm_removal import NormRemoval
from losscape_mpi.geometry.trajectory.checkpoint import PathFile, read_metadata
from losscape_mpi.geometry.trajectory.folder import checkpoints_in
from losscape_mpi.problem.checkpoint import checkpoint_sha256

BLOCK_BYTES = 256 << 20


def checkpoint_files(source: Path | Sequence[Path]) -> list[Path]:
    """Return the checkpoints of a path in the order of training.

    Args:
        source: A folder, whose checkpoint files are taken in the order of their names (numbers in
            them by value), or the checkpoints themselves, in order.

    Raises:
        UserError: If there is none, or if the steps that a folder's files tell do not ascend with
            their names: the folder then holds several paths.
    """
    if not isinstance(source, Path):
        return _named_files(list(source))
    if not source.is_dir():
        return _named_files([source])
    files = sorted(checkpoints_in(source), key=_natural)
    _check_order(files)
    return files


def path_sha256(files: Sequence[Path]) -> str:
    """Return the SHA-256 over the SHA-256 of the checkpoints, in order."""
    return hashlib.sha256("".join(checkpoint_sha256(path) for path in files).encode()).hexdigest()


class PathRows:
    """The rows theta_t - theta* of a path, read from the files whenever they are asked for.

    Attributes:
        labels: Name of each checkpoint: that of its file without the suffix.
        center: theta* as one float64 vector, shape (N,).
    """

    def __init__(
        self,
        files: Sequence[Path],
        center: Mapping[str, np.ndarray],
        *,
        still: Collection[str] = (),
        removal: NormRemoval | None = None,
        key: str | None = None,
    ) -> None:
        """Look at the files' headers; tensors are read later.

        Args:
            files: The checkpoints, in the order of training.
            center: The tensors of theta* by name; complex ones as pairs.
            still: Names that are left out of the rows.
            removal: What scales each filter of a checkpoint to the norm of the center's.
            key: Which part of the checkpoints, where they hold several.
        """
        kept = {name: tensor for name, tensor in center.items() if name not in still}
        self._shapes = {name: tensor.shape for name, tensor in kept.items()}
        self._all_shapes = {name: tensor.shape for name, tensor in center.items()}
        self.labels = [path.stem for path in files]
        self.center = np.concatenate([np.zeros(0), *(w.ravel() for w in kept.values())])
        self._files = [PathFile(path, self._shapes, key) for path in files]
        self._removal = removal
        self._factors: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        """Return the number of checkpoints."""
        return len(self._files)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the rows one after the other, shape (N,)."""
        return (self.row(index) for index in range(len(self)))

    def row(self, index: int) -> np.ndarray:
        """Return theta_t - theta* of one checkpoint, shape (N,).

        Raises:
            UserError: If the checkpoint is no one of this network.
        """
        theta = self._files[index].read()
        if self._removal is not None:
            self._factors[index] = self._removal.factors(theta)
            self._removal.scale(theta, self._factors[index], 0)
        return theta - self.center

    def blocks(self, block_bytes: int = BLOCK_BYTES) -> Iterator[np.ndarray]:
        """Yield the matrix of all rows in blocks of columns, shape (t, width)."""
        width = max(1, block_bytes // (8 * len(self)))
        for start in range(0, len(self.center), width):
            yield self._block(start, min(start + width, len(self.center)))

    def flatten(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return tensors as a vector like a row, 0 where one is missing."""
        parts = [
            np.asarray(tensors[name], dtype=np.float64).ravel()
            if name in tensors
            else np.zeros(int(np.prod(shape)))
            for name, shape in self._shapes.items()
        ]
        return np.concatenate([np.zeros(0), *parts])

    def unflatten(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """Return a vector as tensors by the center's names; what a row leaves out is 0."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self._shapes.values()])
        parts = dict(zip(self._shapes, np.split(vector, ends[:-1]), strict=True))
        return {
            name: parts[name].reshape(shape) if name in parts else np.zeros(shape)
            for name, shape in self._all_shapes.items()
        }

    def _block(self, start: int, stop: int) -> np.ndarray:
        block = np.empty((len(self), stop - start))
        for index, file in enumerate(self._files):
            part = file.read_part(start, stop)
            if self._removal is not None:
                if index not in self._factors:
                    self._factors[index] = self._removal.factors(file.read())
                self._removal.scale(part, self._factors[index], start)
            np.subtract(part, self.center[start:stop], out=block[index])
        return block


def _named_files(files: list[Path]) -> list[Path]:
    if not files:
        raise UserError("found no checkpoint, expected at least one: name a folder or files")
    if missing := [path for path in files if not path.is_file()]:
        raise UserError(
            f"{missing[0]}: no such checkpoint or folder: name the folder of a training path, or "
            "its checkpoints in order"
        )
    return files


def _natural(path: Path) -> list[tuple[int, int | str]]:
    """Return a key that sorts epoch_2 before epoch_10."""
    pieces = re.split(r"(\d+)", path.name)
    return [(0, int(piece)) if piece.isdecimal() else (1, piece) for piece in pieces]


def _check_order(files: Sequence[Path]) -> None:
    told = [(path, read_metadata(path).get("step", "")) for path in files]
    steps = [(path, int(step)) for path, step in told if step.isdecimal()]
    for (before, earlier), (after, later) in itertools.pairwise(steps):
        if later <= earlier:
            raise UserError(
                f"{after.parent}: {before.name} is of step {earlier} and {after.name} of step "
                f"{later}, expected names in the order of training: name the checkpoints one by one"
            )
