"""A network that takes its time, and notes every point that it has been evaluated at.

Tests copy it into a study's folder as `logging_model:build`. The file `evaluated` there gets one
line for each point, which tells points apart; the center, where runs only check themselves, and the
trial of the network none.
"""

import os
import time
import zlib

import torch
from torch import nn

POINT_S = 0.06
TRIAL = 4  # samples of a run's trial of its network, which are no point


class Logging(nn.Module):
    """A linear classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.register_buffer("start", self.linear.weight.detach().clone())

    def forward(self, x):
        if len(x) > TRIAL and not torch.equal(self.linear.weight, self.start):
            time.sleep(POINT_S)
            note(zlib.crc32(self.linear.weight.detach().numpy().tobytes()))
        return self.linear(x.flatten(1))


def note(point: int) -> None:
    descriptor = os.open("evaluated", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, f"{point:08x}\n".encode())  # at once: nothing is lost with the process
    os.close(descriptor)


def build() -> nn.Module:
    return Logging()
