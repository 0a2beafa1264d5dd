"""Measures that need the network at a place, and take the samples by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import nn

from losscape_mpi.geometry.direction import Directions
from losscape_mpi.point.column import Column
from losscape_mpi.problem.build import Problem


@dataclass(frozen=True, eq=False)
class Setting:
    """Where and how a measure computes.

    Attributes:
        device: Where the model and the samples are.
        threads: CPU threads; they change no bit.
        batch_size: Samples of one pass, as it was chosen for the file.
        directions: Tensors by axis and name on the CPU; empty where the places lie on no plane.
        widens: Whether built-in losses take float64 outputs (`problem.loss.widened`).
    """

    device: torch.device
    threads: int = 1
    batch_size: int = 128
    directions: Directions = field(default_factory=dict)
    widens: bool = True


class PlaceMeasure(Protocol):
    """Numbers of the network at a place."""

    def columns(self, splits: Sequence[str]) -> list[Column]:
        """Return all columns, in the order of a row."""

    def bind(self, problem: Problem, setting: Setting) -> Callable[[nn.Module], np.ndarray]:
        """Return what gives the row of a model at a place, float64 of shape (columns,).

        The model is in eval mode on the device and moves from call to call; it may be
        differentiated, but must stay as it is.
        """
