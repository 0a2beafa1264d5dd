"""VGG-9 for small images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from losscape_mpi.problem.zoo.initial import initialize
from losscape_mpi.problem.zoo.shape import image_channels

STAGES = ((64, 64), (128, 128), (256, 256, 256))  # planes of each convolution, Li et al. 2018
HIDDEN = 256
SHRINK = 2 ** len(STAGES)  # a 2x2 pool after each stage


class Vgg9(nn.Module):
    """Seven 3x3 convolutions in three stages, each followed by a 2x2 pool, and two linear layers.

    Layout and parameter names of the code of Li et al. 2018 (arXiv:1712.09913): BatchNorm and
    ReLU follow every layer but the last.

    Args:
        input_shape: (channels, height, width) of the images, at least 8 x 8 pixels.
        num_classes: Number of logits.
    """

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, height, width = input_shape
        self.features = _features(channels)
        num_features = STAGES[-1][-1] * (height // SHRINK) * (width // SHRINK)
        self.fc = nn.Sequential(
            nn.Linear(num_features, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(inplace=True)
        )
        self.classifier = nn.Linear(HIDDEN, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (batch, num_classes), of images (batch, channels, height, width)."""
        out = torch.flatten(self.features(images), 1)  # (batch, 256 * height / 8 * width / 8)
        return self.classifier(self.fc(out))


def _features(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for stage in STAGES:
        for planes in stage:
            layers.append(nn.Conv2d(channels, planes, 3, padding=1))
            layers += [nn.BatchNorm2d(planes), nn.ReLU(inplace=True)]
            channels = planes
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def vgg9(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Return VGG-9 with the paper's initial parameters."""
    channels = image_channels(input_shape, min_side=SHRINK)
    return initialize(Vgg9((channels, input_shape[1], input_shape[2]), num_classes))


NETWORKS = {"vgg9": vgg9}
