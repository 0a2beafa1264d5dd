"""What a classifier of points in the plane answers on a lattice: its decision regions."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.problem.data.split import Split
from losscape_mpi.problem.number import real_dtype

MARGIN = 0.06  # of the samples' extent, beyond them on each side
BATCH = 8192  # points of a pass: 100 float32 activations each take 3 MiB


def is_planar(split: Split) -> bool:
    """Return whether a split has points of two coordinates with class labels."""
    return split.num_classes is not None and tuple(split.inputs.shape[1:]) == (2,)


def lattice(split: Split, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of a square lattice around the samples, shape (num,) each.

    They are the middles of `num` cells of one size along x (first input) and y (second input).

    Args:
        split: Samples of shape (n, 2).
        num: Cells along each side.

    Raises:
        UserError: If the samples are no labelled points in the plane.
    """
    if not is_planar(split):
        kind = "labels" if split.num_classes is not None else "no labels"
        raise UserError(
            f"found samples of shape {tuple(split.inputs.shape[1:])} with {kind}, expected (2,) "
            "with labels for decision regions: take data such as spirals"
        )
    points = split.inputs.double().numpy()
    low, high = points.min(axis=0), points.max(axis=0)
    half = (0.5 + MARGIN) * (float((high - low).max()) or 1.0)
    steps = (2 * np.arange(num) + 1) / num - 1  # -1 to 1, without the ends
    x, y = ((low + high) / 2)[:, None] + half * steps
    return x, y


@torch.no_grad()
def class_probabilities(model: nn.Module, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the softmax of a classifier's outputs on a lattice, float32 of shape (n, m, classes).

    Args:
        model: In evaluation mode, on the CPU; takes points (batch, 2).
        x: First input, shape (n,).
        y: Second input, shape (m,).
    """
    dtype = next((real_dtype(p) for p in model.parameters()), torch.float32)
    pairs = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)  # (n * m, 2)
    points = torch.from_numpy(pairs).to(dtype)
    outputs = torch.cat([model(part) for part in points.split(BATCH)])
    return outputs.float().softmax(dim=1).reshape(len(x), len(y), -1).numpy()
