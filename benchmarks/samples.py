"""What the benchmarks measure on: images one by one, the spirals, and two directions."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from losscape_mpi.problem.build import Problem, build_problem
from losscape_mpi.problem.data.cifar10 import read as read_cifar10
from losscape_mpi.problem.data.split import choose_samples
from losscape_mpi.study.config import DataConfig, ProblemConfig

Directions = Sequence[Sequence[Tensor]]
"""For each axis a tensor for each of the model's parameters, in their order."""


class Images(Dataset):
    """Images that are decoded and normalized one by one, as torchvision's CIFAR10 does it.

    Args:
        pixels: (n, height, width, channels) uint8.
        labels: (n,) integers.
        mean: Of each channel, in units of [0, 1].
        std: As mean.
    """

    def __init__(
        self, pixels: np.ndarray, labels: np.ndarray, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        self.pixels, self.labels = pixels, [int(label) for label in labels]
        self.mean, self.std = mean, std

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.pixels[index])
        return self._normalize(self._to_tensor(image)), self.labels[index]

    @staticmethod
    def _to_tensor(image: Image.Image) -> Tensor:
        """What torchvision's ToTensor does to an RGB image."""
        raw = torch.from_numpy(np.array(image, dtype=np.uint8, copy=True))
        raw = raw.view(image.size[1], image.size[0], len(image.getbands()))
        return raw.permute(2, 0, 1).contiguous().to(torch.float32).div(255)

    def _normalize(self, image: Tensor) -> Tensor:
        """What torchvision's Normalize does."""
        image = image.clone()
        mean, std = (torch.as_tensor(c, dtype=image.dtype) for c in (self.mean, self.std))
        if (std == 0).any():
            raise ValueError("found a deviation of 0")
        return image.sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))


def genuine_images(config: DataConfig, count: int | None = None, split: str = "train") -> Images:
    """Return the images of a study on CIFAR-10, as they lie in the file.

    Args:
        config: problem.data of the study.
        count: Repeats them in turn up to so many; None takes each once.
        split: train or test.
    """
    raw = read_cifar10(config, split)
    chosen = np.arange(len(raw.targets))
    if config.samples is not None:
        chosen = choose_samples(len(raw.targets), config, split)
    if count is not None:
        chosen = np.resize(chosen, count)
    pixels = np.ascontiguousarray(raw.inputs[chosen].transpose(0, 2, 3, 1))  # (n, 32, 32, 3)
    mean, std = config.mean or raw.mean, config.std or raw.std
    return Images(pixels, raw.targets[chosen], mean, std)


def spirals_problem(layers: int = 2, width: int = 100) -> Problem:
    """Return an MLP with its initial parameters on the three spirals, 300 samples."""
    data = DataConfig(name="spirals")
    args = {"layers": layers, "width": width}
    return build_problem(ProblemConfig(model="mlp", model_args=args, data=data))


def random_directions(net: nn.Module, seed: int = 0) -> Directions:
    """Return two Gaussian directions, filter by filter as long as the weights; 0 on vectors.

    Li et al. 2018 (arXiv:1712.09913), section 4, drawn by torch.
    """
    generator = torch.Generator().manual_seed(seed)
    return [[_filter_normalized(p.detach(), generator) for p in net.parameters()] for _ in range(2)]


def _filter_normalized(weight: Tensor, generator: torch.Generator) -> Tensor:
    if weight.dim() <= 1:
        return torch.zeros_like(weight)
    draw = torch.randn(weight.shape, generator=generator)
    over = tuple(range(1, weight.dim()))
    length, wanted = (torch.linalg.vector_norm(t, dim=over, keepdim=True) for t in (draw, weight))
    return draw * (wanted / (length + 1e-10))  # 1e-10 as in the 2018 program


def as_lists(directions: Mapping[str, Mapping[str, Tensor]], net: nn.Module) -> Directions:
    """Return a plane's directions as lists in the order of the network's parameters."""
    return [[axis[name] for name, _ in net.named_parameters()] for axis in directions.values()]
