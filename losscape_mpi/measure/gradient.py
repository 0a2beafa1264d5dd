"""The gradient of the mean loss: its norm, per layer too, and its components in the plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from losscape_mpi.curvature.gradient import GradientSums
from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import DirectionArrays, Directions
from losscape_mpi.measure.place import Setting
from losscape_mpi.point.column import Column
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.number import numbers_of, real_size


class Gradient:
    """Gradient of each split's mean loss over the parameters that move.

    A component along an axis is the derivative of the loss by the coordinate, so that it agrees
    with differences of the loss itself. Sums over batches are float64.

    Attributes:
        names: The parameters that move.
    """

    def __init__(self, names: Sequence[str], axes: Sequence[str]) -> None:
        """Take the names of the moving parameters and of the plane's axes."""
        self.names, self._axes = list(names), list(axes)
        layers: dict[str, list[str]] = {}
        for name in self.names:
            layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
        self._layers = layers

    def columns(self, splits: Sequence[str]) -> list[Column]:
        """Return norm, components and the norm of each layer, for each split."""
        return [column for split in splits for column in self._of_split(split)]

    def bind(self, problem: Problem, setting: Setting) -> Callable[[nn.Module], np.ndarray]:
        """Return what computes the row of a model at a place."""
        sums: list[GradientSums] = []  # made with the first model: it stays the same object
        axes: list[Tensor] = []

        def row(model: nn.Module) -> np.ndarray:
            if not sums:
                sums.append(
                    GradientSums(
                        problem,
                        model,
                        self.names,
                        threads=setting.threads,
                        batch_size=setting.batch_size,
                        widens=setting.widens,
                    )
                )
                axes.extend(self._flat(setting.directions[axis], model) for axis in self._axes)
            numbers = [self._numbers(sums[0], split, problem, axes) for split in problem.splits]
            return np.concatenate(numbers)

        return row

    def _of_split(self, split: str) -> list[Column]:
        norm = Column(
            split,
            "gradient_norm",
            low=0.0,
            description="norm of the mean loss's gradient over the parameters that move",
        )
        along = [
            Column(
                split,
                f"gradient_{axis}",
                comparison="absolute",
                description=f"derivative of the mean loss by {axis}",
            )
            for axis in self._axes
        ]
        layers = [
            Column(split, f"gradient_norm:{layer}", "part", norm.name, low=0.0)
            for layer in self._layers
        ]
        return [norm, *along, *layers]

    def _numbers(
        self, sums: GradientSums, split: str, problem: Problem, axes: Sequence[Tensor]
    ) -> np.ndarray:
        _, total = sums.sums(split)
        slope = total / len(problem.splits[split].targets)
        sizes = [real_size(p) for p in sums.parameters()]
        squares = [float(part.square().sum()) for part in slope.split(sizes)]
        of_layer = dict.fromkeys(self._layers, 0.0)
        for name, square in zip(self.names, squares, strict=True):
            of_layer[name.rpartition(".")[0] or name] += square
        norms = [sum(squares), *of_layer.values()]
        norm, *layers = np.sqrt(norms).tolist()
        return np.array([norm, *(float(slope @ axis) for axis in axes), *layers])

    def _flat(self, direction: Mapping[str, Tensor], model: nn.Module) -> Tensor:
        """Return a direction as a flat float64 vector like the gradient."""
        named = dict(model.named_parameters())
        parts = [
            direction[name].double().reshape(-1)
            if name in direction
            else torch.zeros(real_size(named[name]), dtype=torch.float64)
            for name in self.names
        ]
        return torch.cat(parts).to(named[self.names[0]].device)


def make(problem: Problem, directions: Directions | DirectionArrays) -> Gradient:
    """Return the measure for a problem on a plane, or at places that lie on none.

    Args:
        problem: Its model says which parameters there are.
        directions: Tensors or arrays by axis and name; without any, all floating parameters move.

    Raises:
        UserError: If the plane moves buffers, whose gradient torch does not give, or nothing.
    """
    parameters = list(numbers_of(dict(problem.model.named_parameters())))
    moving = {
        name
        for direction in directions.values()
        for name, part in direction.items()
        if bool((part != 0).any())
    }
    if buffers := sorted(moving - set(parameters)):
        raise UserError(
            f"metric gradient: the plane moves the buffer {buffers[0]}, by which torch gives no "
            "derivative: set plane.states to false, or take metrics without gradient"
        )
    names = [name for name in parameters if name in moving or not directions]
    if not names:
        raise UserError(
            "metric gradient: found no parameter that moves, expected at least one; take metrics "
            "without gradient"
        )
    return Gradient(names, list(directions))
