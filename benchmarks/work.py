"""The floating-point operations and the activations of a network, counted as it runs."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

COUNTED = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


@dataclass(frozen=True)
class Work:
    """What one sample costs a network.

    Attributes:
        flops: 2 per multiplication of its convolutions and linear layers.
        activations: Numbers that these layers read: the inputs of each, once.
    """

    flops: float
    activations: float


def count_work(model: nn.Module, samples: Tensor) -> Work:
    """Return what one sample costs, counted from the network's own layers as they run.

    Counts convolutions (transposed ones too) and linear layers that are modules. Products that a
    network takes elsewhere, such as those of attention, are not seen.

    Args:
        model: Stays as it is; runs once, in the mode it is in.
        samples: A few samples, (b, ...), on the model's device.
    """
    flops, numbers = [0], [0]

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        flops[0] += 2 * _multiplications(layer, inputs[0], output)
        numbers[0] += inputs[0].numel()

    handles = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, COUNTED)]
    try:
        with torch.no_grad():
            model(samples)
    finally:
        for handle in handles:
            handle.remove()
    return Work(flops[0] / len(samples), numbers[0] / len(samples))


def _multiplications(layer: nn.Module, inputs: Tensor, output: Tensor) -> int:
    if isinstance(layer, nn.Linear):
        return output.numel() * layer.in_features
    per_number = layer.weight[0].numel()  # of the output; of the input in a transposed one
    return (inputs if layer.transposed else output).numel() * per_number
