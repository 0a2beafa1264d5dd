"""The nine-layer all-convolutional network: plain, with BatchNorm, with local response norm."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from losscape_mpi.problem.zoo.initial import initialize
from losscape_mpi.problem.zoo.shape import image_channels

# (width in units of the first layer's, kernel, stride) of all but the class map
LAYERS = ((1, 3, 1), (1, 3, 1), (1, 3, 2), *[(2, 3, 1)] * 2, (2, 3, 2), (2, 3, 1), (2, 1, 1))
PLAIN_RELU = (1, 3, 5, 7)  # layers of the plain variant that a ReLU follows, counted from 1
Norm = Callable[[int], nn.Module]  # of a number of channels


class AllCnn9(nn.Module):
    """Eight convolutions without bias, a 1x1 convolution to the classes, ReLU, average pool.

    After Springenberg et al. 2014 (arXiv:1412.6806), All-CNN-C, with the widths and norms of
    J. D. Seo's 2019 article on loss landscapes: conv - ReLU - norm, or in the plain variant a
    ReLU after convolutions 1, 3, 5 and 7 only.

    Args:
        in_channels: Channels of the images.
        num_classes: Number of logits.
        width: Channels of the first layer.
        norm: Makes the norm of a number of channels; None is the plain variant.
    """

    def __init__(self, in_channels: int, num_classes: int, width: int, norm: Norm | None) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (factor, kernel, stride) in enumerate(LAYERS, start=1):
            planes, padding = factor * width, kernel // 2
            layers.append(
                nn.Conv2d(in_channels, planes, kernel, stride=stride, padding=padding, bias=False)
            )
            if norm is not None or number in PLAIN_RELU:
                layers.append(nn.ReLU(inplace=True))
            if norm is not None:
                layers.append(norm(planes))
            in_channels = planes
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Conv2d(in_channels, num_classes, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (batch, num_classes), of images (batch, channels, height, width)."""
        maps = F.relu(self.classifier(self.features(images)))  # (batch, num_classes, h / 4, w / 4)
        return maps.mean((2, 3))


def _response_norm(channels: int) -> nn.Module:
    return nn.LocalResponseNorm(channels, alpha=1e-4, beta=0.75, k=1.0)


def _network(width: int, norm: Norm | None) -> Callable[[tuple[int, ...], int], nn.Module]:
    def make(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        return initialize(AllCnn9(image_channels(input_shape), num_classes, width, norm))

    return make


NETWORKS = {
    "allcnn9_plain": _network(64, None),
    "allcnn9_bn": _network(96, nn.BatchNorm2d),
    "allcnn9_lrn": _network(96, _response_norm),
}
