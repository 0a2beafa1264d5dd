"""The initial parameters of the 2018 paper's networks."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

Network = TypeVar("Network", bound=nn.Module)

LINEAR_STD = 1e-3  # the 2018 paper's code; starts every class at nearly the same logit


def initialize(network: Network) -> Network:
    """Return the network with the initial parameters of Li et al. 2018, drawn in place.

    Convolutions are Kaiming-normal by fan-in, linear weights N(0, 1e-3 squared), biases 0;
    norm layers keep torch's weight 1 and bias 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=LINEAR_STD)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    return network
