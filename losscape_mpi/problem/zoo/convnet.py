"""Small convolutional networks of the literature: C1, C2 and LeNet-5."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from losscape_mpi.problem.zoo.initial import initialize
from losscape_mpi.problem.zoo.shape import image_channels


class ConvNet(nn.Module):
    """Convolutional features of an image, flattened, then fully connected layers."""

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (batch, num_classes), of images (batch, channels, height, width)."""
        return self.classifier(torch.flatten(self.features(images), 1))


def c1(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Return network C1 of Yao et al. 2018 (arXiv:1802.08241), as their code HessianFlow has it.

    Twice conv5x5 (64 planes) - ReLU - BN - 3x3 max pool of stride 2, then 384 and 192 units.
    """
    layers: list[nn.Module] = []
    channels, sides = image_channels(input_shape), input_shape[1:]
    for before in (channels, 64):
        layers += [nn.Conv2d(before, 64, 5, padding=2), nn.ReLU(inplace=True), nn.BatchNorm2d(64)]
        layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        sides = tuple(-(-side // 2) for side in sides)
    classifier = _classifier((64 * sides[0] * sides[1], 384, 192, num_classes), nn.ReLU)
    return initialize(ConvNet(nn.Sequential(*layers), classifier))


def c2(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Return network C2 of Yao et al. 2018 (arXiv:1802.08241), as their code HessianFlow has it.

    Twice two unpadded conv3x3 - ReLU - BN (64, then 128 planes) and a 2x2 max pool, then 256 and
    256 units.
    """
    layers: list[nn.Module] = []
    channels, sides = image_channels(input_shape, min_side=16), input_shape[1:]
    for planes in (64, 128):
        for _ in range(2):
            layers += [nn.Conv2d(channels, planes, 3), nn.ReLU(inplace=True)]
            layers.append(nn.BatchNorm2d(planes))
            channels = planes
        layers.append(nn.MaxPool2d(2))
        sides = tuple((side - 4) // 2 for side in sides)
    classifier = _classifier((128 * sides[0] * sides[1], 256, 256, num_classes), nn.ReLU)
    return initialize(ConvNet(nn.Sequential(*layers), classifier))


def lenet5(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Return LeNet-5 with torch's initial parameters: tanh, average pools, 120 and 84 units.

    LeCun et al. 1998, "Gradient-based learning applied to document recognition", with every map
    connected to every other and a linear last layer. Written for images (1, 32, 32).
    """
    channels = image_channels(input_shape, min_side=32)
    sides = [((side - 4) // 2 - 4) // 2 - 4 for side in input_shape[1:]]
    first = [nn.Conv2d(channels, 6, 5), nn.Tanh(), nn.AvgPool2d(2)]
    second = [nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)]
    features = nn.Sequential(*first, *second, nn.Conv2d(16, 120, 5), nn.Tanh())
    return ConvNet(features, _classifier((120 * sides[0] * sides[1], 84, num_classes), nn.Tanh))


def _classifier(sizes: tuple[int, ...], activation: type[nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])  # the logits have no activation


NETWORKS = {"c1": c1, "c2": c2, "lenet5": lenet5}
