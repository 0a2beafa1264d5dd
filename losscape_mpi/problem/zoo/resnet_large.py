"""ResNet-18 to 152 with the stem for small images."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from losscape_mpi.problem.zoo.initial import initialize
from losscape_mpi.problem.zoo.resnet import BasicBlock, Shortcut, conv_shortcut, no_shortcut
from losscape_mpi.problem.zoo.shape import image_channels

EXPANSION = 4  # planes that leave a bottleneck over planes inside it
PLANES, STRIDES = (64, 128, 256, 512), (1, 2, 2, 2)  # of the four stages
Block = Callable[[int, int, int, Shortcut], nn.Module]  # (in_planes, planes, stride, shortcut)


class Bottleneck(nn.Module):
    """conv1x1 - BN - ReLU - conv3x3 - BN - ReLU - conv1x1 - BN (+ shortcut, ReLU).

    As in the code of Li et al. 2018, a block without a shortcut has no ReLU at its end.
    """

    def __init__(self, in_planes: int, planes: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, EXPANSION * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(EXPANSION * planes)
        self.shortcut = shortcut(in_planes, EXPANSION * planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's activations, (batch, 4 * planes, height / stride, width / stride)."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        if self.shortcut is None:
            return out
        return F.relu(out + self.shortcut(x), inplace=True)


class LargeResNet(nn.Module):
    """3x3 stem of 64 planes, four stages (64 to 512 planes, strides 1, 2, 2, 2), pool, linear.

    He et al. 2015 (arXiv:1512.03385), table 1, with the stem, the layout and the parameter names
    of the code of Li et al. 2018 (arXiv:1712.09913).

    Args:
        in_channels: Channels of the images.
        num_classes: Number of logits.
        block: BasicBlock or Bottleneck.
        num_blocks: Blocks of each stage.
        shortcut: Makes each block's shortcut, or None for a block without one.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        block: Block,
        num_blocks: tuple[int, int, int, int],
        shortcut: Shortcut,
    ) -> None:
        super().__init__()
        grow = EXPANSION if block is Bottleneck else 1
        before = [PLANES[0], *(grow * planes for planes in PLANES)]  # planes that enter a stage
        self.conv1 = nn.Conv2d(in_channels, PLANES[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(PLANES[0])
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(block, before[k : k + 2], PLANES[k], STRIDES[k], num_blocks[k], shortcut)
            for k in range(len(PLANES))
        )
        self.linear = nn.Linear(before[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (batch, num_classes), of images (batch, channels, height, width)."""
        out = F.relu(self.bn1(self.conv1(images)), inplace=True)
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))  # height / 8, width / 8
        return self.linear(out.mean((2, 3)))


def _stage(
    block: Block, ends: list[int], planes: int, stride: int, num_blocks: int, shortcut: Shortcut
) -> nn.Sequential:
    """Return the blocks of a stage; ends are the planes that enter and that leave it."""
    first = block(ends[0], planes, stride, shortcut)
    others = [block(ends[1], planes, 1, shortcut) for _ in range(num_blocks - 1)]
    return nn.Sequential(first, *others)


def _network(
    block: Block, num_blocks: tuple[int, int, int, int], shortcut: Shortcut
) -> Callable[[tuple[int, ...], int], nn.Module]:
    def make(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        channels = image_channels(input_shape)
        return initialize(LargeResNet(channels, num_classes, block, num_blocks, shortcut))

    return make


DEPTHS: dict[int, tuple[Block, tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}

NETWORKS = {
    f"resnet{depth}{suffix}": _network(block, num_blocks, shortcut)
    for depth, (block, num_blocks) in DEPTHS.items()
    for suffix, shortcut in (("", conv_shortcut), ("_noshort", no_shortcut))
}
