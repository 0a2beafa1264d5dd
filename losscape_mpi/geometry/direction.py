"""A direction: one float32 tensor for each floating parameter of the network."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import torch
from torch import Tensor, nn

from losscape_mpi.geometry.gaussian import gaussian
from losscape_mpi.geometry.normalize import as_filters, from_filters, normalize, zero_filters
from losscape_mpi.study.plane_config import PlaneConfig

Direction = dict[str, Tensor]


def random_direction(
    config: PlaneConfig, axis: str, center: dict[str, np.ndarray], transposed: frozenset[str]
) -> Direction:
    """Return a Gaussian direction, drawn and then normalised.

    Li et al. 2018 (arXiv:1712.09913), section 4.

    Args:
        config: Seed, normalisation, and what happens to parameters of at most one dimension.
        axis: alpha or beta; each has its own draws.
        center: The trained floating parameters, float64.
        transposed: Parameters whose filters lie along axis 1.
    """
    direction = {}
    for name, weight in center.items():
        if is_ignored(weight, config.ignore):
            direction[name] = torch.zeros(weight.shape, dtype=torch.float32)
            continue
        filter_axis = int(name in transposed)
        draw = as_filters(gaussian(config.seed, axis, name, weight.shape), filter_axis)
        scaled = normalize(draw, as_filters(weight, filter_axis), config.normalize)
        direction[name] = as_float32(from_filters(scaled, weight.shape, filter_axis))
    return direction


def count_zero_filters(
    center: dict[str, np.ndarray], ignore: str, transposed: frozenset[str]
) -> int:
    """Return how many filters of the parameters that a direction moves are all 0."""
    return sum(
        int(zero_filters(as_filters(weight, int(name in transposed))).sum())
        for name, weight in center.items()
        if not is_ignored(weight, ignore)
    )


def is_ignored(weight: np.ndarray, ignore: str) -> bool:
    """Tell whether a direction is 0 on a parameter: biases and norm layers under biasbn."""
    return ignore == "biasbn" and weight.ndim <= 1


def transposed_parameters(model: nn.Module) -> frozenset[str]:
    """Return the names of the transposed convolutions' weights, whose filters lie along axis 1."""
    kinds = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    return frozenset(
        f"{name}.weight".lstrip(".")
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, kinds)
    )


def direction_sha256(direction: Direction) -> str:
    """Return the SHA-256 over names, shapes and float32 bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(direction):
        digest.update(json.dumps([name, list(direction[name].shape)]).encode())
        digest.update(np.ascontiguousarray(direction[name].numpy(), dtype="<f4").tobytes())
    return digest.hexdigest()


def as_float32(array: np.ndarray) -> Tensor:
    """Return an array as a contiguous float32 tensor of its own."""
    with np.errstate(over="ignore"):  # an overflow becomes infinite, which the plane refuses
        return torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
