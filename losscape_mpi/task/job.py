"""The job: everything an evaluator process needs, as one block of bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import safetensors.numpy

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.geometry.direction import DirectionArrays, Directions, as_tensors
from losscape_mpi.point.frames import Bytes
from losscape_mpi.study.config import Study

GRID, POINTS, CHECKPOINTS, SHARDS = "grid", "points", "checkpoints", "shards"


@dataclass(frozen=True, eq=False)
class Job:
    """A study with its choices, its directions, and the hashes of what rank 0 read.

    Attributes:
        study: The resolved study, input paths absolute.
        choices: What was chosen before the file was created; for a new file what tuning starts
            from.
        hashes: What rank 0 read, as `task.build.read_hashes` gives it; every process must read
            the same bytes.
        directions: Arrays by axis and parameter name; empty where the places lie on no plane.
        where: What is asked for by an index: GRID, a point of the study's grid; POINTS, a row of
            `points`; CHECKPOINTS, one of `files`; SHARDS, a part of the samples.
        metrics: What is computed there.
        files: Checkpoints, absolute paths.
        points: Coordinates, float64 of shape (k, axes).
        is_tuned: Whether the choices are final; else one evaluator tunes and all are told.
    """

    study: Study
    choices: Choices
    hashes: dict[str, Any]
    directions: DirectionArrays
    where: str = GRID
    metrics: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    is_tuned: bool = True

    def to_bytes(self) -> bytes:
        """Return the job as the bytes of a safetensors file."""
        arrays = {
            f"{axis}/{name}": np.asarray(array, order="C")  # ascontiguousarray adds an axis to ()
            for axis, direction in self.directions.items()
            for name, array in direction.items()
        }
        metadata = {
            "study": self.study.model_dump_json(),
            "choices": json.dumps(asdict(self.choices)),
            "hashes": json.dumps(self.hashes),
            "axes": json.dumps(list(self.directions)),
            "where": self.where,
            "metrics": json.dumps(self.metrics),
            "files": json.dumps(self.files),
            "is_tuned": json.dumps(self.is_tuned),
        }
        # They keep the block valid for a model without any direction tensor.
        own = {"count": np.array([len(arrays)]), "points": np.ascontiguousarray(self.points)}
        return safetensors.numpy.save(arrays | own, metadata)

    @classmethod
    def from_bytes(cls, block: Bytes) -> Job:
        """Return the job that `to_bytes` wrote."""
        block = bytes(block)
        size = int.from_bytes(block[:8], "little")
        metadata = json.loads(block[8 : 8 + size])["__metadata__"]
        arrays = safetensors.numpy.load(block)
        directions: dict[str, dict[str, np.ndarray]] = {
            axis: {} for axis in json.loads(metadata["axes"])
        }
        for key, array in arrays.items():
            axis, _, name = key.partition("/")
            if axis in directions:
                directions[axis][name] = array
        return cls(
            Study.model_validate_json(metadata["study"]),
            Choices(**json.loads(metadata["choices"])),
            json.loads(metadata["hashes"]),
            directions,
            metadata["where"],
            tuple(json.loads(metadata["metrics"])),
            tuple(json.loads(metadata["files"])),
            arrays["points"],
            json.loads(metadata["is_tuned"]),
        )

    def tensors(self) -> Directions:
        """Return the directions as tensors by axis and parameter name."""
        # Copied: a block that was received cannot be written, which torch warns of.
        return as_tensors(
            {
                axis: {name: array.copy() for name, array in direction.items()}
                for axis, direction in self.directions.items()
            }
        )

    def check_hashes(self, found: Mapping[str, Any], host: str) -> None:
        """Compare what this process read with what rank 0 read.

        Raises:
            UserError: If checkpoint, center, data or code differ.
        """
        for key, wanted in self.hashes.items():
            if key in found and found[key] != wanted:
                raise UserError(
                    f"host {host} reads another {key} than rank 0 (found {found[key]}, expected "
                    f"{wanted}): put the files of the study on a file system that all nodes share"
                )
