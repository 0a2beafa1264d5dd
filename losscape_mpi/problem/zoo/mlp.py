"""Fully connected networks and logistic regression."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losscape_mpi.errors import UserError


class Mlp(nn.Module):
    """Hidden layers of one width with ReLU, then a linear layer; samples are flattened.

    Args:
        num_features: Numbers per sample.
        num_classes: Number of logits.
        layers: Number of hidden layers; 0 is logistic regression.
        width: Units per hidden layer.
    """

    def __init__(self, num_features: int, num_classes: int, layers: int, width: int) -> None:
        super().__init__()
        sizes = [num_features] + [width] * layers
        self.hidden = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        self.linear = nn.Linear(sizes[-1], num_classes)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the logits, (batch, num_classes), of samples (batch, ...)."""
        out = torch.flatten(samples, 1)  # (batch, num_features)
        for layer in self.hidden:
            out = F.relu(layer(out), inplace=True)
        return self.linear(out)


def mlp(
    input_shape: tuple[int, ...], num_classes: int, *, layers: int = 2, width: int = 100
) -> nn.Module:
    """Return a fully connected network with torch's initial parameters.

    Raises:
        UserError: If layers is not an integer >= 0, width not an integer >= 1, or a sample
            holds no number.
    """
    _check_integer("layers", layers, 0)
    _check_integer("width", width, 1)
    if len(input_shape) == 0 or min(input_shape) < 1:
        raise UserError(
            f"found samples of shape {tuple(input_shape)}, expected at least one dimension: "
            "give each sample a shape such as (1,)"
        )
    return Mlp(math.prod(input_shape), num_classes, layers, width)


def logistic(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Return logistic regression: an mlp without hidden layers."""
    return mlp(input_shape, num_classes, layers=0)


def _check_integer(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(
            f"found {name}: {value!r}, expected an integer >= {least}: correct problem.model_args"
        )


NETWORKS = {"mlp": mlp, "logistic": logistic}
