"""What a network may expect of the samples it is built for."""

from __future__ import annotations

from losscape_mpi.errors import UserError


def image_channels(input_shape: tuple[int, ...], min_side: int = 1) -> int:
    """Return the number of channels of images that a convolutional network can take.

    Args:
        input_shape: Shape of one sample.
        min_side: Smallest height and width that leave a pixel after all strides and pools.

    Returns:
        The first dimension of (channels, height, width).

    Raises:
        UserError: If the samples are not images, or smaller than min_side.
    """
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise UserError(
            f"found samples of shape {tuple(input_shape)}, expected images "
            "(channels, height, width): choose mlp or a network of your own"
        )
    if min(input_shape[1:]) < min_side:
        raise UserError(
            f"found images of shape {tuple(input_shape)}, expected at least "
            f"{min_side} x {min_side} pixels: choose another network"
        )
    return input_shape[0]
