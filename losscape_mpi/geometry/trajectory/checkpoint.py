"""One checkpoint of a training path, read as a flat vector or as a part of one."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.problem.checkpoint_file import is_safetensors
from losscape_mpi.problem.fit import best_prefix
from losscape_mpi.problem.names import Wanted, as_dense
from losscape_mpi.problem.number import as_real
from losscape_mpi.problem.part import choose, read_near_parts

Shape = tuple[int, ...]
MAX_HEADER_BYTES = 100 << 20  # the format's own limit
DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}


class PathFile:
    """Some tensors of a checkpoint file as one vector, in a given order.

    A .safetensors file with the tensors' own names is read in parts; of any other file, whose
    tensors cannot be found without unpacking it, a part costs as much as the whole.

    Attributes:
        path: The checkpoint.
    """

    def __init__(self, path: Path, shapes: Mapping[str, Shape], key: str | None = None) -> None:
        """Look where the tensors lie; they are read later.

        Args:
            path: A checkpoint as `problem.checkpoint.read_state` reads it.
            shapes: Of the wanted tensors by name, in the order of the vector; of complex ones
                those of their pairs.
            key: Which part of the file, where it holds several.
        """
        self.path, self._shapes, self._key = path, shapes, key
        sizes = [math.prod(shape) for shape in shapes.values()]
        self._ends = np.cumsum([0, *sizes])  # where each tensor lies in the vector
        self._dtype = DTYPES["F32"]
        self._offsets = self._find(read_header(path))

    def read(self) -> np.ndarray:
        """Return the whole vector, float64 of shape (N,).

        Raises:
            UserError: If the file cannot be read, or lacks a tensor of the wanted shape.
        """
        state = self._state()
        flat = np.empty(self._ends[-1])
        for number, (name, shape) in enumerate(self._shapes.items()):
            tensor = as_real(as_dense(state[name], name, self.path)) if name in state else None
            if tensor is None or tuple(tensor.shape) != shape:
                found = "nothing" if tensor is None else f"shape {tuple(tensor.shape)}"
                raise UserError(
                    f"{self.path}: found {found} for {name}, expected shape {shape}: "
                    "take checkpoints of the network of the study"
                )
            tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
            flat[self._ends[number] : self._ends[number + 1]] = tensor.numpy().ravel()
        return flat

    def read_part(self, start: int, stop: int) -> np.ndarray:
        """Return the entries from start to stop (not included), float64."""
        if self._offsets is None:
            return self.read()[start:stop]
        part = np.empty(stop - start)
        first = int(np.searchsorted(self._ends, start, side="right")) - 1
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            for number in range(first, len(self._offsets)):
                low, high = max(start, self._ends[number]), min(stop, self._ends[number + 1])
                if low >= stop:
                    break
                offset = self._offsets[number] + (low - self._ends[number]) * self._dtype.itemsize
                part[low - start : high - start] = self._entries(descriptor, offset, high - low)
        finally:
            os.close(descriptor)
        return part

    def _state(self) -> Mapping[str, torch.Tensor]:
        """Return the tensors that fit best, by the network's names."""
        tensors = {name: torch.empty(s, device="meta") for name, s in self._shapes.items()}
        states = read_near_parts(self.path, self._key)
        found = choose(self.path, states, Wanted(tensors, is_whole=False))
        if found is None:  # the one with most of the names says best what is missing
            return max(states.values(), key=lambda state: best_prefix(state, tensors)[1])
        return found

    def _entries(self, descriptor: int, offset: int, count: int) -> np.ndarray:
        wanted = int(count) * self._dtype.itemsize
        content = os.pread(descriptor, wanted, int(offset))
        if len(content) != wanted:
            raise UserError(
                f"{self.path} ends too early, expected the file as it was a moment ago: run again "
                "when nothing writes the path"
            )
        return np.frombuffer(content, self._dtype)

    def _find(self, header: Mapping[str, Any] | None) -> np.ndarray | None:
        """Return the byte at which each tensor begins; None where parts cannot be read."""
        if header is None or any(name not in header for name in self._shapes):
            return None
        if self._key and any(name.startswith(f"{self._key}.") for name in header):
            return None
        entries = [header[name] for name in self._shapes]
        kinds = {entry["dtype"] for entry in entries}
        shapes = [tuple(entry["shape"]) for entry in entries]
        if shapes != list(self._shapes.values()) or len(kinds) != 1 or kinds - DTYPES.keys():
            return None
        self._dtype = DTYPES[kinds.pop()]
        return np.array([entry["data_offsets"][0] for entry in entries]) + header["__begin__"]


def read_metadata(path: Path) -> dict[str, str]:
    """Return the texts of a .safetensors header, such as epoch and step; of other files nothing."""
    header = read_header(path)
    return {} if header is None else dict(header.get("__metadata__", {}))


def read_header(path: Path) -> dict[str, Any] | None:
    """Return the header of a .safetensors file and, under __begin__, where its data begin.

    None for other files, and for damaged ones: reading them whole says what is wrong.
    """
    try:
        if not path.is_file() or not is_safetensors(path):
            return None
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > MAX_HEADER_BYTES:
                return None
            header = json.loads(file.read(size))
    except (OSError, ValueError):
        return None
    return {**header, "__begin__": 8 + size} if isinstance(header, dict) else None
