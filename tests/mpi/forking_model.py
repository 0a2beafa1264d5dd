"""A network that keeps a child of its own, as data loaders do.

Tests copy it into a study's folder as `forking_model:build`. It takes its time at each point.
"""

import os
import time

from torch import nn

POINT_S = 0.05


class Forking(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.child = 0

    def forward(self, x):
        if not self.child:
            self.child = os.fork()
            if not self.child:
                time.sleep(3600)
                os._exit(0)
        time.sleep(POINT_S)
        return self.linear(x.flatten(1))

    def __deepcopy__(self, memo):
        twin = Forking()
        twin.load_state_dict(self.state_dict())
        return twin


def build() -> nn.Module:
    return Forking()
