"""Measures of the user's own: a function of outputs and targets, or a class that needs θ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from losscape_mpi.errors import UserError
from losscape_mpi.measure.place import Setting
from losscape_mpi.measure.sample import Outcome
from losscape_mpi.point.column import Column
from losscape_mpi.problem.build import Problem

TRIAL_SAMPLES = 2


class OwnSamples:
    """A function (outputs, targets) -> (n,) tensor, or {name: (n,) tensor}, averaged.

    Attributes:
        quantities: Its name, or the keys of what it returns.
    """

    def __init__(self, name: str, function: Callable[..., Any], problem: Problem) -> None:
        """Call the function on two samples: what it returns says what it computes.

        Raises:
            UserError: If that is not one floating number for each sample.
        """
        self._name, self._function = name, function
        split = next(iter(problem.splits.values()))
        inputs, targets = split.inputs[:TRIAL_SAMPLES], split.targets[:TRIAL_SAMPLES]
        with torch.no_grad():
            found = self._call(problem.model(inputs), targets)
        self.quantities = tuple(found)

    def columns(self, split: str) -> list[Column]:
        """Return a column for each quantity."""
        words = f"mean over the samples of {self._name}"
        return [Column(split, quantity, description=words) for quantity in self.quantities]

    def check(self, problem: Problem) -> None:
        """Do nothing: the trial has shown that the function takes the problem's outputs."""

    def values(self, outcome: Outcome) -> Tensor:
        """Return the numbers of each sample, float64.

        Raises:
            UserError: If the function returns something else than it did on two samples.
        """
        found = self._call(outcome.outputs, outcome.targets)
        if tuple(found) != self.quantities:
            raise UserError(
                f"metric {self._name} returned {', '.join(found)}, expected always the same names: "
                f"{', '.join(self.quantities)}"
            )
        return torch.stack([tensor.to(torch.float64) for tensor in found.values()])

    def _call(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        found = self._function(outputs, targets)
        named = found if isinstance(found, Mapping) else {self._name.rpartition(":")[2]: found}
        for key, tensor in named.items():
            is_name = isinstance(key, str) and key and "/" not in key
            is_right = isinstance(tensor, Tensor) and tensor.shape == (len(targets),)
            if not (is_name and is_right) or tensor.is_complex():
                found = list(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
                raise UserError(
                    f"metric {self._name} returned {key!r}: {found}, expected one real number for "
                    f"each of {len(targets)} samples, a tensor of shape ({len(targets)},), or such "
                    "tensors by name"
                )
        if not named:
            raise UserError(f"metric {self._name} returned nothing, expected at least one number")
        return dict(named)


class OwnPlace:
    """A class of the user's whose objects get the model at a place: `(model, splits) -> numbers`.

    Its `columns(splits)` says what it computes (`losscape_mpi.point.column.Column`).
    """

    def __init__(self, name: str, kind: Callable[[], Any], problem: Problem) -> None:
        """Make an object of the class.

        Raises:
            UserError: If it cannot be called, or says no columns.
        """
        self._name, self._object = name, kind()
        columns = getattr(self._object, "columns", None)
        if not callable(self._object) or columns is None:
            raise UserError(
                f"metric {name}: found a class without columns(splits) or __call__(model, splits), "
                "expected both (docs/own-problem.md)"
            )
        self._columns = list(columns(list(problem.splits)))
        if not self._columns or not all(isinstance(c, Column) for c in self._columns):
            raise UserError(f"metric {name}: expected columns(splits) to give a list of Column")

    def columns(self, splits: Sequence[str]) -> list[Column]:  # noqa: ARG002
        """Return what the class says."""
        return self._columns

    def bind(self, problem: Problem, setting: Setting) -> Callable[[nn.Module], np.ndarray]:
        """Return what computes the numbers of a model at a place."""
        data = {
            name: (split.inputs.to(setting.device), split.targets.to(setting.device))
            for name, split in problem.splits.items()
        }

        def row(model: nn.Module) -> np.ndarray:
            found = self._object(model, data)
            wanted = [column.name for column in self._columns]
            if not isinstance(found, Mapping) or set(found) != set(wanted):
                names = sorted(found) if isinstance(found, Mapping) else type(found).__name__
                raise UserError(
                    f"metric {self._name} returned {names}, expected a number for each of its "
                    f"columns {wanted}, by name"
                )
            return np.array([float(found[name]) for name in wanted])

        return row
