"""A network, data and a loss of one's own: regression that also predicts its uncertainty.

study.yaml names the three functions as my_problem:make_model, my_problem:read_data and
my_problem:gaussian_loss. docs/own-problem.md explains what is asked of each.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

LOG_2PI = math.log(2 * math.pi)


def make_model(width: int = 24) -> nn.Module:
    """Return a network with two outputs for each sample: a mean and a logarithm of a variance.

    Args:
        width: Units of each hidden layer; study.yaml sets it in problem.model_args.
    """
    return nn.Sequential(
        nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2)
    )


def read_data(split: str, num_samples: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (num_samples, 1) and targets (num_samples,): a sine with growing noise.

    Args:
        split: train or test; each is a draw of its own.
        num_samples: Samples of the split; study.yaml sets it in problem.data.args.
    """
    generator = np.random.default_rng({"train": 1, "test": 2}[split])
    x = generator.uniform(-1, 1, num_samples)
    deviation = 0.02 + 0.1 * (x + 1)
    y = np.sin(3 * x) + deviation * generator.standard_normal(num_samples)
    return x[:, None].astype(np.float32), y.astype(np.float32)


def gaussian_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return minus the logarithm of each sample's Gaussian likelihood, shape (n,), float64.

    It is below 0 wherever the predicted density at the target is above 1.

    Args:
        outputs: (n, 2), mean and logarithm of the variance.
        targets: (n,).
    """
    mean, log_variance = outputs.double().unbind(dim=1)  # (n,), (n,)
    square = (targets.double() - mean).square()
    return 0.5 * (LOG_2PI + log_variance + square * torch.exp(-log_variance))
