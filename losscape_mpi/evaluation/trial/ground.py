"""Where a network is tried: a copy of it, a few small batches, points off the center."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.network.network import Network
from losscape_mpi.evaluation.network.parameters import Place
from losscape_mpi.geometry.direction import Directions
from losscape_mpi.measure.sample import Outcome, SampleMeasure
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.loss import widened

BATCH = 4  # samples: two would hide little less, and a pass of a small network stays short
MOST_BATCHES = 4

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Ground:
    """What every trial of a network needs.

    Attributes:
        problem: Model on the CPU, with its data.
        directions: Tensors by axis and name.
        measures: What is computed of each sample.
        choices: How points will be evaluated.
        places: Where to try, off the center.
    """

    problem: Problem
    directions: Directions
    measures: Sequence[SampleMeasure]
    choices: Choices
    places: Sequence[Place]

    def network(self) -> Network:
        """Return a copy of the model that runs layer by layer on the CPU, one point at a time."""
        is_wide = self.choices.precision == "float64"
        plain = replace(
            self.choices,
            layout="contiguous",
            precision="float64" if is_wide else "float32",
            points_per_pass=1,
            fused=False,
            correction=0,
        )
        return Network(self.problem.model, self.directions, plain, CPU)

    def batches(self, network: Network) -> list[tuple[Tensor, Tensor]]:
        """Return a few samples of the first split, as small batches of inputs and targets."""
        split = next(iter(self.problem.splits.values()))
        count = min(len(split.targets), BATCH * MOST_BATCHES)
        inputs = network.to_device(split.inputs[:count]).split(BATCH)
        return list(zip(inputs, network.to_device(split.targets[:count]).split(BATCH), strict=True))

    def lane(self, network: Network) -> Callable[[int], list[Tensor]]:
        """Return what gives outputs, losses and metrics of a batch by its number, in any thread."""
        batches = self.batches(network)
        criterion = (
            widened(self.problem.criterion) if self.choices.widens else (self.problem.criterion)
        )

        def run(number: int) -> list[Tensor]:
            inputs, targets = batches[number]
            with torch.no_grad():
                outputs = network.outputs(inputs)[0]
                losses = criterion(outputs, targets).to(torch.float64)
                finite = torch.isfinite(outputs).reshape(len(outputs), -1).all(dim=1)
                outcome = Outcome(outputs, targets, losses, finite)
                return [outputs, losses, *(m.values(outcome) for m in self.measures)]

        return run


def place_text(place: Place) -> str:
    """Return where a place is, in words that follow others; "" for one that has no coordinates."""
    if isinstance(place, Mapping):
        return ""
    return " at point (" + ", ".join(f"{x:.6g}" for x in place) + ")"


def outputs_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return a model's outputs, float64, without gradients."""
    with torch.no_grad():
        return model(inputs).double()


def changing(found: Tensor, first: Tensor, place: Place, number: int, what: str) -> UserError:
    """Return the error of a network whose outputs are others in a later pass.

    Args:
        found: Its outputs in that pass.
        first: Those of the first one.
        place: Where.
        number: Of the pass.
        what: What changes in a pass.
    """
    k = int((found != first).flatten().int().argmax())
    return UserError(
        f"the network gives different outputs for the same samples{place_text(place)}: "
        f"{float(found.flatten()[k]):.8g} in pass {number}, {float(first.flatten()[k]):.8g} in the "
        f"first one ({what} changes in a pass); expected outputs that depend on parameters and "
        "samples alone"
    )
