"""A network whose evaluator process dies once, at its N-th forward pass with gradients.

Tests copy it into a folder as `mortal_model:build`. The file `dies_at` there holds N; without it
nothing dies. A mark keeps it from dying twice.
"""

import os
import signal
from pathlib import Path

import torch
from torch import nn


class Mortal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.Tanh(), nn.Linear(24, 10))
        self.passes = 0

    def forward(self, x):
        if torch.is_grad_enabled():
            self.passes += 1
            plan = Path("dies_at")
            if plan.exists() and self.passes == int(plan.read_text()):
                plan.unlink()
                Path("mark").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return self.layers(x)


def build() -> nn.Module:
    return Mortal()
