"""A network whose evaluator process gets into trouble at the corners of the plane.

Tests copy it into a study's folder as `troubled_model:build`. The file `trouble` there holds a
kind of trouble and how often it happens; without it there is none.
"""

import os
import signal
import sys
import time
from pathlib import Path

from torch import nn


class Troubled(nn.Module):
    """A linear classifier that looks at its own weights to know where on the plane it is."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.register_buffer("start", self.linear.weight.detach().clone())

    def forward(self, x):
        distance = (self.linear.weight - self.start).norm() / self.start.norm()
        if distance > 1.3:  # 1.41 where |alpha| = |beta| = 1
            have_trouble()
        return self.linear(x.flatten(1))


def have_trouble() -> None:
    plan = Path("trouble")
    if not plan.exists():
        return
    kind, times = plan.read_text().split()
    if len(list(Path.cwd().glob("mark*"))) >= int(times):
        return
    Path(f"mark{time.time_ns()}").touch()
    TROUBLES[kind]()


def fail() -> None:
    raise ZeroDivisionError("only at a corner")


def answer_too_little() -> None:
    process = sys.modules["losscape_mpi.task.serve"]
    write = process.write_frame
    process.write_frame = lambda descriptor, kind, body=b"": write(descriptor, kind, body[:-8])


TROUBLES = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "sleep": lambda: time.sleep(3600),
    "exit": lambda: os._exit(0),
    "raise": fail,
    "shape": answer_too_little,
}


def build() -> nn.Module:
    return Troubled()
