"""Small training paths, written as checkpoints and kept as the matrix that they are."""

import numpy as np
import torch

from losscape_mpi.problem.checkpoint import write_state

SHAPES = {"a.weight": (3, 2, 2), "a.bias": (3,), "b.weight": (4, 5)}


def flat(tensors, names=SHAPES):
    return np.concatenate([np.asarray(tensors[name], dtype=np.float64).ravel() for name in names])


def unflat(vector, names=SHAPES):
    ends = np.cumsum([np.prod(SHAPES[name]) for name in names])[:-1]
    return {n: v.reshape(SHAPES[n]) for n, v in zip(names, np.split(vector, ends), strict=True)}


def write_path(folder, vectors, dtype=torch.float64, extra=None, suffix=".safetensors"):
    """Write one checkpoint for each flat vector; returns the files."""
    files = []
    for number, vector in enumerate(vectors):
        state = {n: torch.tensor(v, dtype=dtype) for n, v in unflat(vector).items()}
        state |= extra or {}
        path = folder / f"step_{number:04d}{suffix}"
        if suffix == ".safetensors":
            write_state(path, state, {"step": str(10 * number), "epoch": str(number)})
        else:
            torch.save(state, path)
        files.append(path)
    return files
