"""Sums of the loss's gradient over samples, at whatever place the network is."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from losscape_mpi.curvature.products import exact_arithmetic
from losscape_mpi.errors import UserError
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.lane import run_lanes
from losscape_mpi.problem.loss import widened
from losscape_mpi.problem.number import as_real, real_dtype, real_size

LARGEST_BATCH = 128  # a graph holds every activation; 32 to 256 images take the same time


class GradientSums:
    """The summed gradient of a split's losses by chosen parameters, float64.

    Each batch is differentiated by one thread with one arithmetic thread, and the batches are
    added in their order: the number of threads changes no bit.

    Attributes:
        names: The chosen parameters, in the order in which they lie in a flat gradient.
        size: Their real numbers in all (N).
    """

    def __init__(
        self,
        problem: Problem,
        model: nn.Module,
        names: Sequence[str],
        *,
        threads: int = 1,
        batch_size: int = LARGEST_BATCH,
        widens: bool = True,
    ) -> None:
        """Take a model that stays where it is; its parameters may move between the calls.

        Args:
            problem: Samples and criterion.
            model: On its device, in eval mode.
            names: Parameters to differentiate by.
            threads: CPU threads.
            batch_size: Samples of one pass, cut to 128.
            widens: Whether built-in losses take float64 outputs (`problem.loss.widened`).
        """
        self.names = list(names)
        self._criterion = widened(problem.criterion) if widens else problem.criterion
        self._batch_size = min(batch_size, LARGEST_BATCH)
        self._models = [model, *(_twin(model) for _ in range(threads - 1))]
        named = dict(model.named_parameters())
        self._parameters = [named[name] for name in self.names]
        self.size = sum(real_size(p) for p in self._parameters)
        self._device = next(iter(self._parameters)).device if self._parameters else None
        self._data = {
            name: (split.inputs.to(self._device), split.targets.to(self._device))
            for name, split in problem.splits.items()
        }
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def parameters(self) -> list[nn.Parameter]:
        """Return the chosen parameters, where they are now."""
        return self._parameters

    def sums(self, split: str, start: int = 0, stop: int | None = None) -> tuple[float, Tensor]:
        """Return the summed loss of samples, and its gradient, float64 of shape (N,).

        Args:
            split: Name of the split.
            start: First sample.
            stop: Behind the last sample; None takes all.

        Raises:
            UserError: If the loss has no derivative by the parameters.
        """
        inputs, targets = (whole[start:stop] for whole in self._data[split])
        total = torch.zeros(self.size, dtype=torch.float64, device=self._device)
        loss = 0.0
        batches = list(
            zip(
                inputs.split(self._batch_size),
                self._cast(targets).split(self._batch_size),
                strict=True,
            )
        )
        for parameter in self._parameters:
            parameter.requires_grad_()
        try:
            with exact_arithmetic():  # here, not in the threads: torch has it once for all of them
                for value, slopes in self._each(batches):
                    loss += value
                    total.add_(torch.cat([as_real(slope).reshape(-1) for slope in slopes]))
        finally:
            for parameter in self._parameters:
                parameter.requires_grad_(False)
        return loss, total

    def _cast(self, targets: Tensor) -> Tensor:
        dtype = real_dtype(self._parameters[0]) if self._parameters else targets.dtype
        return targets.to(dtype) if targets.is_floating_point() else targets

    def _each(self, batches: Sequence[tuple[Tensor, Tensor]]) -> Iterator[tuple[float, Any]]:
        """Yield loss and gradient of each batch, in their order."""
        if self._pool is None:
            yield from (self._of_batch(self._models[0], *batch) for batch in batches)
            return
        count = len(self._models)
        for begin in range(0, len(batches), count):
            some = batches[begin : begin + count]
            yield from run_lanes(
                self._pool,
                lambda model, batch: self._of_batch(model, *batch),
                self._models,
                some,
            )

    def _of_batch(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[float, Any]:
        with torch.enable_grad():
            loss = self._criterion(model(inputs), targets).to(torch.float64).sum()
            if not loss.requires_grad:
                raise UserError(
                    f"the loss has no derivative by {self.names[0]}: expected a criterion and a "
                    "model that compute with torch and detach nothing"
                )
            slopes = torch.autograd.grad(
                loss, self._parameters, allow_unused=True, materialize_grads=True
            )
        return float(loss.detach()), slopes


def _twin(model: nn.Module) -> nn.Module:
    """Return the model for another thread: it shares every tensor and owns its modules."""
    tensors: list[Any] = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
