"""Random crops and flips of whole batches of images, on their device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from losscape_mpi.errors import UserError
from losscape_mpi.problem.data.load import own_constants
from losscape_mpi.problem.data.split import normalize
from losscape_mpi.study.config import DataConfig
from losscape_mpi.training.sections import AugmentConfig


def augment(images: Tensor, config: AugmentConfig, black: Tensor, draws: torch.Generator) -> Tensor:
    """Return each image cropped from a border around it, and half of them mirrored.

    He et al. 2015 (arXiv:1512.03385), section 4.2: 4 pixels of border, a crop of the old size at
    a uniform place, a horizontal flip with probability 1/2.

    Args:
        images: (batch, channels, height, width), left as they are.
        config: The border and whether to flip.
        black: (1, channels, 1, 1), what the border is filled with, on the images' device.
        draws: A generator of the CPU, so that every device sees the same draws.
    """
    batch, _, height, width = images.shape
    border = config.crop
    padded = _padded(images, border, black)
    top, left = torch.randint(2 * border + 1, (2, batch, 1), generator=draws)
    columns = torch.arange(width).expand(batch, width)
    if config.flip:
        is_flipped = torch.randint(2, (batch, 1), generator=draws).bool()
        columns = torch.where(is_flipped, columns.flip(1), columns)
    rows = (torch.arange(height) + top).to(images.device)  # (batch, height)
    columns = (columns + left).to(images.device)  # (batch, width)
    sample = torch.arange(batch, device=images.device)
    # One gather: index arrays (batch, height, width), and the channels come last.
    taken = padded.permute(0, 2, 3, 1)[sample[:, None, None], rows[:, :, None], columns[:, None]]
    return taken.permute(0, 3, 1, 2).contiguous()


def _padded(images: Tensor, border: int, black: Tensor) -> Tensor:
    batch, channels, height, width = images.shape
    shape = (batch, channels, height + 2 * border, width + 2 * border)
    padded = black.expand(shape).clone()
    padded[:, :, border : border + height, border : border + width] = images
    return padded


def black_of(config: DataConfig, images: Tensor) -> Tensor:
    """Return the value of a black pixel after normalization, (1, channels, 1, 1).

    Args:
        config: The data, whose constants count before the data set's own.
        images: The normalized images.

    Raises:
        UserError: If the samples are no images.
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise UserError(
            f"augment: found samples of shape {tuple(images.shape[1:])}, expected images "
            "(channels, height, width): set augment: null"
        )
    mean, std = own_constants(config.name)
    raw = np.zeros((1, images.shape[1], 1, 1), np.float32)
    mean = mean if config.mean is None else tuple(config.mean)
    std = std if config.std is None else tuple(config.std)
    return normalize(raw, mean, std, images.dtype).to(images.device)
