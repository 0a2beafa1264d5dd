"""What the measurements of a start share: the problem, the device and a clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.estimators.mean import Evaluator
from losscape_mpi.geometry.direction import Directions
from losscape_mpi.measure.sample import SampleMeasure
from losscape_mpi.problem.build import Problem

Note = Callable[[str], None]
Busy = Callable[[], None]


def stay_silent() -> None:
    """Tell nobody."""


@dataclass(frozen=True, eq=False)
class Bench:
    """What every measurement of a start needs.

    Attributes:
        problem: Model on the CPU, with its data.
        directions: Tensors by axis and name.
        measures: What is averaged over the samples.
        device: Where the evaluator will run.
        threads: Its CPU threads.
        note: Called with a line for the log.
        busy: Called between the passes of a long measurement, as a sign of life.
    """

    problem: Problem
    directions: Directions
    measures: Sequence[SampleMeasure]
    device: torch.device
    threads: int
    note: Note
    busy: Busy = stay_silent

    @property
    def quantities(self) -> list[str]:
        """What is averaged, in the order of a split's columns."""
        return [quantity for measure in self.measures for quantity in measure.quantities]

    def evaluator(self, choices: Choices) -> Evaluator:
        """Return an evaluator with these choices."""
        return Evaluator(
            self.problem, self.directions, self.measures, choices, self.device, self.threads
        )

    def clock(self) -> float:
        """Return seconds: of a CPU its own working time, which other programs do not change."""
        return time.perf_counter() if self.device.type == "cuda" else time.process_time()

    def point(self, scale: float) -> tuple[float, ...]:
        """Return a point off the center."""
        return tuple(scale * (0.5 + 0.25 * k) for k in range(len(self.directions)))


def few_samples(bench: Bench, batch_size: int) -> Bench:
    """Return the bench on one full batch of each split and its last, shorter one.

    These are the shapes that all samples give. One thread has to do: it measures the working
    time of any number of them, and each thread without enough batches would copy the model.
    """
    splits = {}
    for name, split in bench.problem.splits.items():
        count = batch_size + len(split.targets) % batch_size
        splits[name] = replace(split, inputs=split.inputs[:count], targets=split.targets[:count])
    return replace(bench, problem=replace(bench.problem, splits=splits), threads=1)
