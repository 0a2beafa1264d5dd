"""The size of the network itself: the norm of its parameters, per layer too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from losscape_mpi.geometry.direction import DirectionArrays, Directions
from losscape_mpi.measure.place import Setting
from losscape_mpi.point.column import Column
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.number import as_real, is_number

GROUP = "network"  # in place of a split: it depends on no sample


class Weights:
    """Euclidean norm of all floating parameters, summed in float64.

    A loss that falls while the norm grows may do so by scale alone (Li et al. 2018, section 3).
    """

    def __init__(self, layers: Mapping[str, Sequence[str]]) -> None:
        """Take the names of the parameters by layer."""
        self._layers = layers

    def columns(self, splits: Sequence[str]) -> list[Column]:  # noqa: ARG002
        """Return the norm, and that of each layer."""
        norm = Column(GROUP, "weight_norm", low=0.0, description="norm of all parameters")
        parts = (f"weight_norm:{layer}" for layer in self._layers)
        return [norm, *(Column(GROUP, part, "part", norm.name, low=0.0) for part in parts)]

    def bind(
        self,
        problem: Problem,  # noqa: ARG002
        setting: Setting,  # noqa: ARG002
    ) -> Callable[[nn.Module], np.ndarray]:
        """Return what gives the norms of a model at a place."""

        def row(model: nn.Module) -> np.ndarray:
            named = dict(model.named_parameters())
            with torch.no_grad():
                squares = [
                    sum(float(as_real(named[name]).double().square().sum()) for name in names)
                    for names in self._layers.values()
                ]
            return np.sqrt([sum(squares), *squares])

        return row


def make(problem: Problem, directions: Directions | DirectionArrays) -> Weights:  # noqa: ARG001
    """Return the measure for a problem's network."""
    layers: dict[str, list[str]] = {}
    for name, parameter in problem.model.named_parameters():
        if is_number(parameter):
            layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return Weights(layers)
