"""Forward passes over the whole data: per-sample values at points of the plane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.forward.replica import Batch, Replica
from losscape_mpi.evaluation.network.network import Network
from losscape_mpi.evaluation.network.parameters import Place
from losscape_mpi.geometry.direction import Directions
from losscape_mpi.measure.sample import SampleMeasure
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.data.split import Split
from losscape_mpi.problem.lane import run_lanes
from losscape_mpi.problem.loss import widened

BATCHES_PER_THREAD = 2  # with fewer, threads take whole points instead of batches


class Passes:
    """The data on the device, and the networks of all threads.

    Each batch is computed by one thread with one arithmetic thread, and per-sample values are
    summed by nobody here: the number of threads changes no bit.

    Attributes:
        names: What each sample has a value of: the measures' quantities, then `nonfinite`.
        points: How many points one pass evaluates.
        sizes: Number of samples by split.
        runs_ahead: Whether a pass may be under way when the next one is asked for.
    """

    def __init__(
        self,
        problem: Problem,
        directions: Directions,
        measures: Sequence[SampleMeasure],
        choices: Choices,
        device: torch.device,
        threads: int,
        *,
        is_refilled: bool = False,
    ) -> None:
        """Place the data and the networks.

        Args:
            problem: Model on the CPU, with its data.
            directions: Tensors by axis and name.
            measures: What is computed of each sample.
            choices: How to evaluate.
            device: Where to compute.
            threads: CPU threads.
            is_refilled: Whether `refill` will put other samples in place of the problem's; the
                threads then share the batches of a point, and nothing is kept from pass to pass.
        """
        self.names = [*(q for m in measures for q in m.quantities), "nonfinite"]
        self.points = choices.points_per_pass
        self._num_axes = len(directions)
        self.sizes = {name: len(split.targets) for name, split in problem.splits.items()}
        self.runs_ahead = device.type == "cuda"
        first = Network(problem.model, directions, choices, device)
        self._data = {n: _whole(split, first, choices) for n, split in problem.splits.items()}
        if is_refilled:
            first.keep_nothing()
            self._data = {n: (x.clone(), y.clone()) for n, (x, y) in self._data.items()}
        self.batches = _all_batches(self._data, choices)
        count, width = _division(threads, len(self.batches), is_refilled)
        others = (Network(problem.model, directions, choices, device) for _ in range(count - 1))
        criterion = widened(problem.criterion) if choices.widens else problem.criterion
        self.replicas = [
            Replica(each, criterion, measures, self.batches, self.sizes, device, width)
            for each in (first, *others)
        ]
        self._pool = ThreadPoolExecutor(count) if count > 1 else None

    def values(self, points: Sequence[Place]) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Yield the per-sample values of points, pass by pass.

        Yields:
            The number p of points of a pass that were asked for, and by split a float64 tensor
            (names, points, m) whose first p points count. It is overwritten by the next passes.
        """
        width, replicas = self.points, len(self.replicas)
        padded = [self._padded(point) for point in points]
        groups = [padded[k : k + width] for k in range(0, len(padded), width)]
        full = [group + [group[0]] * (width - len(group)) for group in groups]
        for k in range(0, len(full), replicas):
            yield from zip(
                (len(group) for group in groups[k : k + replicas]),
                self._round(full[k : k + replicas]),
                strict=True,
            )

    def _padded(self, place: Place) -> Place:
        return place if isinstance(place, Mapping) else tuple(place)[: self._num_axes]

    def refill(self, samples: Mapping[str, Tensor], source: Passes) -> None:
        """Put samples of another pass in the places of these: as many of each split as there are.

        Args:
            samples: Indices into the source's samples, by split, on the device.
            source: Has all samples, of the same precision.
        """
        for batch in self.batches:
            chosen = samples[batch.split][batch.place]
            inputs, targets = (whole[chosen] for whole in source._data[batch.split])
            batch.inputs.copy_(inputs)
            batch.targets.copy_(_repeated(targets, self.points))

    def _round(self, groups: Sequence[Sequence[Place]]) -> list[dict[str, Tensor]]:
        if self._pool is None:
            return [self.replicas[0].run(groups[0])]
        return run_lanes(self._pool, Replica.run, self.replicas, groups)

    def buffers(self) -> list[Tensor]:
        """Return all buffers of all networks, now."""
        return [buffer for replica in self.replicas for buffer in replica.buffers()]


def _division(threads: int, batches: int, is_refilled: bool) -> tuple[int, int]:
    """Return how many replicas there are, and how many threads share the batches of each."""
    is_shared = is_refilled or batches >= BATCHES_PER_THREAD * threads
    return (1, threads) if is_shared else (threads, 1)


def _whole(split: Split, network: Network, choices: Choices) -> tuple[Tensor, Tensor]:
    """Return the inputs and the targets of a split on the device."""
    inputs, targets = network.cast(split.inputs), network.to_device(split.targets)
    if choices.layout == "channels_last" and inputs.dim() == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    return inputs, targets


def _all_batches(data: Mapping[str, tuple[Tensor, Tensor]], choices: Choices) -> list[Batch]:
    """Return the batches of all splits, in their order."""
    return [
        batch
        for name, (inputs, targets) in data.items()
        for batch in _batches(name, inputs, targets, choices)
    ]


def _batches(name: str, inputs: Tensor, targets: Tensor, choices: Choices) -> Iterator[Batch]:
    start, points = 0, choices.points_per_pass
    for part, wanted in zip(
        inputs.split(choices.batch_size), targets.split(choices.batch_size), strict=True
    ):
        yield Batch(name, part, _repeated(wanted, points), slice(start, start + len(part)))
        start += len(part)


def _repeated(targets: Tensor, points: int) -> Tensor:
    return targets.repeat(points, *(1,) * (targets.dim() - 1))
