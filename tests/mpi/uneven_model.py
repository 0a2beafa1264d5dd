"""A network that is slow in one precision, so that what a start measures and chooses is known.

Tests copy it into a study's folder as `uneven_model:build`. The environment variable SLOW_IN
(low, or else float32) stands for a machine of another kind: it changes seconds, never a value.
"""

import math
import os
import time

import torch
from torch import Tensor, nn

SAMPLE_S, SLOW_SAMPLE_S = 3e-4, 12e-4


class Uneven(nn.Module):
    """A linear classifier; in low precision the loss of every sample is larger by `excess`."""

    def __init__(self, excess: float) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.excess = excess

    def forward(self, x: Tensor) -> Tensor:
        is_low = torch.is_autocast_enabled("cpu")
        is_slow = is_low == (os.environ.get("SLOW_IN") == "low")
        # Working time, of this thread: a start measures what its process works, not waiting.
        end = time.thread_time() + len(x) * (SLOW_SAMPLE_S if is_slow else SAMPLE_S)
        while time.thread_time() < end:
            pass
        logits = self.linear(x.flatten(1)).float()
        # A class that no sample belongs to takes its share of the probability from all others.
        share = self.excess if is_low else 1e-6
        other = logits.logsumexp(dim=1, keepdim=True) + math.log(math.expm1(share))
        return torch.cat([logits, other], dim=1)


def build(excess: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return Uneven(excess + 1e-6)
