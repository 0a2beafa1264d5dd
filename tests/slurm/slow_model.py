"""A network that waits until it is told to hurry, so that a run can be stopped midway."""

import time
from pathlib import Path

from torch import nn


class SlowLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, images):
        if not Path("hurry").exists():
            time.sleep(0.2)
        return self.linear(images.flatten(1))


def make():
    return SlowLinear()
