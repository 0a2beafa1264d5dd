"""The job: everything an evaluator process needs, as one block of bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from torch import Tensor

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choices import Choices
from losscape_mpi.study.config import Study


@dataclass(frozen=True, eq=False)
class Job:
    """A study with its choices, its directions, and the hashes of what rank 0 read.

    Attributes:
        study: The resolved study, input paths absolute.
        choices: What was chosen before the file was created; for a new file what tuning starts
            from.
        is_tuned: Whether the choices are final; else one evaluator tunes and all are told.
        hashes: As `Problem.hashes`; every process must read the same bytes.
        directions: Arrays by axis and parameter name.
    """

    study: Study
    choices: Choices
    hashes: dict[str, Any]
    directions: Mapping[str, Mapping[str, np.ndarray]]
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
            "is_tuned": json.dumps(self.is_tuned),
        }
        # The count keeps the block valid for a model without any direction tensor.
        return safetensors.numpy.save(arrays | {"count": np.array([len(arrays)])}, metadata)

    @classmethod
    def from_bytes(cls, block: bytes) -> Job:
        """Return the job that `to_bytes` wrote."""
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
            json.loads(metadata["is_tuned"]),
        )

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return the directions as tensors by axis and parameter name."""
        return {
            axis: {name: torch.from_numpy(array.copy()) for name, array in direction.items()}
            for axis, direction in self.directions.items()
        }

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
