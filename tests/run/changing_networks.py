"""Networks that seed in forward, or change in the course of a run; tests name them in studies."""

import numpy as np
import torch
from torch import nn


class Seeded(nn.Module):
    """Draws the same matrix in every pass: passes at once would draw from one generator."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.o = nn.Linear(8, 32), nn.Linear(64, 8)

    def forward(self, x):
        torch.manual_seed(0)
        return self.o(torch.tanh(self.a(x) @ (torch.randn(32, 64) / 6)))


class Tiring(nn.Module):
    """Alters its outputs after so many passes, and counts where nobody looks."""

    def __init__(self, after: int = 300) -> None:
        super().__init__()
        self.a, self.passes, self.after = nn.Linear(8, 8), iter(range(10**9)), after

    def forward(self, x):
        return self.a(x) * (1.001 if next(self.passes) > self.after else 1.0)


def read(split):
    random = np.random.default_rng(0)
    return random.standard_normal((64, 8)).astype("f4"), random.standard_normal((64, 8))
