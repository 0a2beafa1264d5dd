"""DenseNet-121 for small images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losscape_mpi.problem.zoo.initial import initialize
from losscape_mpi.problem.zoo.shape import image_channels

GROWTH = 32  # channels that each layer adds
BOTTLENECK = 4 * GROWTH
NUM_LAYERS = (6, 12, 24, 16)  # of the four dense blocks
SHRINK = 8  # three 2x2 pools


class DenseLayer(nn.Module):
    """BN - ReLU - conv1x1 - BN - ReLU - conv3x3, put before the channels that came in."""

    def __init__(self, in_planes: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_planes)
        self.conv1 = nn.Conv2d(in_planes, BOTTLENECK, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(BOTTLENECK)
        self.conv2 = nn.Conv2d(BOTTLENECK, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the new and the old channels, (batch, GROWTH + in_planes, height, width)."""
        out = self.conv1(F.relu(self.bn1(x), inplace=True))
        out = self.conv2(F.relu(self.bn2(out), inplace=True))
        return torch.cat([out, x], 1)


class Transition(nn.Module):
    """BN - ReLU - conv1x1 to half the channels - 2x2 average pool."""

    def __init__(self, in_planes: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_planes)
        self.conv = nn.Conv2d(in_planes, in_planes // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return half the channels on half the pixels a side."""
        return F.avg_pool2d(self.conv(F.relu(self.bn(x), inplace=True)), 2)


class DenseNet(nn.Module):
    """3x3 stem, four dense blocks with transitions between them, BN, ReLU, pool, linear.

    Huang et al. 2016 (arXiv:1608.06993), DenseNet-BC of growth 32, with the stem, the layout and
    the parameter names of the code of Li et al. 2018 (arXiv:1712.09913).

    Args:
        in_channels: Channels of the images.
        num_classes: Number of logits.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        planes = 2 * GROWTH
        self.conv1 = nn.Conv2d(in_channels, planes, 3, padding=1, bias=False)
        self.dense1, planes = _block(planes, NUM_LAYERS[0])
        self.trans1 = Transition(planes)
        self.dense2, planes = _block(planes // 2, NUM_LAYERS[1])
        self.trans2 = Transition(planes)
        self.dense3, planes = _block(planes // 2, NUM_LAYERS[2])
        self.trans3 = Transition(planes)
        self.dense4, planes = _block(planes // 2, NUM_LAYERS[3])
        self.bn = nn.BatchNorm2d(planes)
        self.linear = nn.Linear(planes, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (batch, num_classes), of images (batch, channels, height, width)."""
        out = self.trans1(self.dense1(self.conv1(images)))
        out = self.trans3(self.dense3(self.trans2(self.dense2(out))))
        out = F.relu(self.bn(self.dense4(out)), inplace=True)  # (batch, 1024, h / 8, w / 8)
        return self.linear(out.mean((2, 3)))


def _block(in_planes: int, num_layers: int) -> tuple[nn.Sequential, int]:
    """Return a dense block and the number of channels that leave it."""
    layers = [DenseLayer(in_planes + k * GROWTH) for k in range(num_layers)]
    return nn.Sequential(*layers), in_planes + num_layers * GROWTH


def densenet121(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Return DenseNet-121 with the paper's initial parameters."""
    channels = image_channels(input_shape, min_side=SHRINK)
    return initialize(DenseNet(channels, num_classes))


NETWORKS = {"densenet121": densenet121}
