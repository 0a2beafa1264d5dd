"""One network and the values of its samples: a forward pass over all batches of the data."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from losscape_mpi.evaluation.network.cuda_graph import replayed
from losscape_mpi.evaluation.network.network import Network
from losscape_mpi.evaluation.network.parameters import Place
from losscape_mpi.measure.sample import Outcome, SampleMeasure
from losscape_mpi.problem.lane import run_lanes
from losscape_mpi.problem.loss import Criterion

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples on the device, and where their values go.

    Attributes:
        split: Name of the split.
        inputs: (b, ...) as the network takes them.
        targets: (points * b, ...): repeated for each point of a pass.
        place: Which samples of the split these are.
    """

    split: str
    inputs: Tensor
    targets: Tensor
    place: slice


class Replica:
    """One network, with its twins for further threads, and the values of its samples."""

    def __init__(
        self,
        network: Network,
        criterion: Criterion,
        measures: Sequence[SampleMeasure],
        batches: Sequence[Batch],
        sizes: Mapping[str, int],
        device: torch.device,
        threads: int,
    ) -> None:
        self.network = network
        self._networks = [network, *(network.twin() for _ in range(threads - 1))]
        self._criterion = criterion
        self._measures = measures
        self._batches = batches
        shape = (sum(len(m.quantities) for m in measures) + 1, network.points)
        self._values = {
            name: torch.zeros(*shape, size, dtype=torch.float64, device=device)
            for name, size in sizes.items()
        }
        self._device = device
        # What passes the model at once; the same tensors each time, as `prefix.Kept` wants.
        self._parts: dict[Batch, Sequence[Tensor]] = {batch: [batch.inputs] for batch in batches}
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._work: Callable[[], None] | None = None

    def run(self, points: Sequence[Place]) -> dict[str, Tensor]:
        """Return the per-sample values at as many places as the network moves to at once."""
        allow_tf32(self.network.uses_tf32)
        with self._without_gradients():
            self.network.move(points)
            if self._work is None:
                self._work = replayed(self._all_batches, self._device)
            self._work()
        return self._values

    def buffers(self) -> list[Tensor]:
        """Return the buffers of its networks, now."""
        return [buffer for network in self._networks for buffer in network.buffers()]

    def _without_gradients(self) -> contextlib.AbstractContextManager[Any]:
        """Return the mode for forward passes; a model of a user's may turn gradients on again."""
        return torch.inference_mode() if self.network.is_fused else torch.no_grad()

    def _all_batches(self) -> None:
        if self._pool is None:
            for batch in self._batches:
                self._one_batch(self.network, batch)
            return
        count = len(self._networks)

        def share(k: int) -> None:
            with self._without_gradients():  # a setting of the thread
                for batch in self._batches[k::count]:
                    self._one_batch(self._networks[k], batch)

        run_lanes(self._pool, share, range(count))

    def _one_batch(self, network: Network, batch: Batch) -> None:
        outputs = self._forward(network, batch).flatten(0, 1)  # (points * b, ...)
        losses = self._criterion(outputs, batch.targets).to(torch.float64)  # (points * b,)
        finite = torch.isfinite(outputs).reshape(len(outputs), -1).all(dim=1)  # (points * b,)
        outcome = Outcome(outputs, batch.targets, losses, finite)
        place = self._values[batch.split][:, :, batch.place]  # (names, points, b)
        row = 0
        for measure in self._measures:
            count = len(measure.quantities)
            values = measure.values(outcome).view(count, network.points, -1)
            place[row : row + count].copy_(values)
            row += count
        place[-1].copy_((~finite).view(network.points, -1))

    def _forward(self, network: Network, batch: Batch) -> Tensor:
        """Return the outputs, (points, b, ...); in ever smaller parts if the device is too small.

        Raises:
            torch.OutOfMemoryError: If one sample is too much, or a graph is being captured.
        """
        while True:
            parts = self._parts[batch]
            try:
                return _joined(network, parts)
            except torch.OutOfMemoryError:
                if len(parts[0]) == 1 or self._is_capturing():
                    raise
            # Only here: the handler's traceback keeps the activations alive.
            self._halve(len(parts[0]))

    def _halve(self, size: int) -> None:
        """Let half of `size` samples pass the model at once."""
        torch.cuda.empty_cache()
        self._parts = {batch: batch.inputs.split((size + 1) // 2) for batch in self._batches}
        logger.warning(
            "out of device memory: from here on each batch of %d samples passes the model in two "
            "halves; last bits of the values may differ from those before",
            size,
        )

    def _is_capturing(self) -> bool:
        return self._device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def _joined(network: Network, parts: Sequence[Tensor]) -> Tensor:
    outputs = [network.outputs(part) for part in parts]
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)


def allow_tf32(is_allowed: bool) -> None:
    """Say whether NVIDIA GPUs may round the factors of float32 products to 10 bits."""
    torch.backends.cuda.matmul.allow_tf32 = is_allowed
    torch.backends.cudnn.allow_tf32 = is_allowed
