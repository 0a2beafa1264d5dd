"""Residual networks for small images: ResNet-20 to 110, wide ones, without shortcuts, digits."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from losscape_mpi.problem.zoo.initial import initialize
from losscape_mpi.problem.zoo.shape import image_channels

Shortcut = Callable[[int, int, int], nn.Module | None]  # (in_planes, planes, stride)


class PadShortcut(nn.Module):
    """Every second pixel, and zero channels on either side (option A of He et al. 2015)."""

    def __init__(self, extra_planes: int, stride: int) -> None:
        super().__init__()
        self.before = extra_planes // 2
        self.after = extra_planes - self.before
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return x subsampled and padded, (batch, planes, height / stride, width / stride)."""
        kept = x[:, :, :: self.stride, :: self.stride]
        return F.pad(kept, (0, 0, 0, 0, self.before, self.after))


def conv_shortcut(in_planes: int, planes: int, stride: int) -> nn.Module:
    """Return the identity, or a 1x1 convolution and BatchNorm where the shape changes."""
    if stride == 1 and in_planes == planes:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(in_planes, planes, 1, stride=stride, bias=False), nn.BatchNorm2d(planes)
    )


def pad_shortcut(in_planes: int, planes: int, stride: int) -> nn.Module:
    """Return the identity, or the parameter-free option A where the shape changes."""
    if stride == 1 and in_planes == planes:
        return nn.Identity()
    return PadShortcut(planes - in_planes, stride)


def no_shortcut(_in_planes: int, _planes: int, _stride: int) -> None:
    """Return None: the block is a plain stack of layers."""


class BasicBlock(nn.Module):
    """conv3x3 - BN - ReLU - conv3x3 - BN - (+ shortcut) - ReLU."""

    def __init__(self, in_planes: int, planes: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = shortcut(in_planes, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's activations, (batch, planes, height / stride, width / stride)."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        if self.shortcut is not None:
            # Not in place: under vmap the shortcut alone may carry the batch of parameters.
            out = out + self.shortcut(x)
        return F.relu(out, inplace=True)


class CifarResNet(nn.Module):
    """3x3 stem, three stages of basic blocks (strides 1, 2, 2), average pool, linear.

    He et al. 2015 (arXiv:1512.03385), section 4.2, with the layout and the parameter names of
    the code of Li et al. 2018 (arXiv:1712.09913).

    Args:
        in_channels: Channels of the images.
        num_classes: Number of logits.
        widths: Planes of the three stages; the stem has those of the first.
        num_blocks: Blocks per stage.
        shortcut: Makes each block's shortcut, or None for a block without one.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        widths: tuple[int, int, int],
        num_blocks: int,
        shortcut: Shortcut,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1 = _stage(widths[0], widths[0], 1, num_blocks, shortcut)
        self.layer2 = _stage(widths[0], widths[1], 2, num_blocks, shortcut)
        self.layer3 = _stage(widths[1], widths[2], 2, num_blocks, shortcut)
        self.linear = nn.Linear(widths[2], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (batch, num_classes), of images (batch, channels, height, width)."""
        out = F.relu(self.bn1(self.conv1(images)), inplace=True)
        out = self.layer3(self.layer2(self.layer1(out)))  # (batch, planes, height / 4, width / 4)
        return self.linear(out.mean((2, 3)))


def _stage(
    in_planes: int, planes: int, stride: int, num_blocks: int, shortcut: Shortcut
) -> nn.Sequential:
    sizes = [in_planes] + [planes] * num_blocks
    strides = [stride] + [1] * (num_blocks - 1)
    pairs = zip(pairwise(sizes), strides, strict=True)
    return nn.Sequential(*(BasicBlock(before, after, s, shortcut) for (before, after), s in pairs))


def _network(
    widths: tuple[int, int, int], num_blocks: int, shortcut: Shortcut
) -> Callable[[tuple[int, ...], int], nn.Module]:
    def make(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        channels = image_channels(input_shape)
        return initialize(CifarResNet(channels, num_classes, widths, num_blocks, shortcut))

    return make


def _cifar(
    depth: int, width: int, shortcut: Shortcut
) -> Callable[[tuple[int, ...], int], nn.Module]:
    return _network((16 * width, 32 * width, 64 * width), (depth - 2) // 6, shortcut)


DEPTHS = (20, 32, 44, 56, 110)
WIDE = ((56, 2), (56, 4), (56, 8), (110, 2), (110, 4))  # (depth, factor), Li et al. 2018

NETWORKS = {
    **{f"resnet{depth}": _cifar(depth, 1, conv_shortcut) for depth in DEPTHS},
    **{f"resnet{depth}_a": _cifar(depth, 1, pad_shortcut) for depth in DEPTHS},
    **{f"resnet{depth}_noshort": _cifar(depth, 1, no_shortcut) for depth in DEPTHS},
    **{f"wrn{depth}_{k}": _cifar(depth, k, conv_shortcut) for depth, k in WIDE},
    **{f"wrn{depth}_{k}_noshort": _cifar(depth, k, no_shortcut) for depth, k in WIDE},
    "resnet50_16_noshort": _cifar(50, 1, no_shortcut),  # as the 2018 paper's code names it
    "digits_resnet": _network((8, 16, 32), 1, conv_shortcut),
}
