"""The evaluator: plane coordinates in, values and standard errors out."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.metrics import METRICS, Outcome
from losscape_mpi.evaluation.parameters import MovingParameters
from losscape_mpi.evaluation.sums import Sums
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.split import DTYPES, Split

logger = logging.getLogger(__name__)

FEW_SAMPLES = 4  # enough to see that a batch mixes its samples


@dataclass(frozen=True)
class Choices:
    """What is chosen once, before the file is created, and kept in its manifest.

    Attributes:
        batch_size: Samples in one forward pass; part of a value's bits.
        layout: "channels_last" or "contiguous" memory order of images and kernels.
    """

    batch_size: int
    layout: str


@dataclass(frozen=True, eq=False)
class _Batches:
    parts: list[tuple[Tensor, Tensor]]
    available: int


class Evaluator:
    """Loss and accuracy of a problem at points of a plane, with the whole data on the device.

    Several CPU threads share the batches of a point; each batch is computed by one thread with
    one arithmetic thread and the sums are added in batch order, so the number of threads never
    changes a bit.

    Attributes:
        num_axes: 2, or 1 for a profile.
    """

    def __init__(
        self,
        problem: Problem,
        directions: Mapping[str, Mapping[str, Tensor]],
        metrics: Sequence[str],
        precision: str,
        choices: Choices,
        device: torch.device | None = None,
        threads: int = 1,
    ) -> None:
        """Place a copy of the model and the data on the device; the problem stays as it is."""
        device = device or torch.device("cpu")
        _check_metrics(problem, metrics)
        self.num_axes = len(directions)
        self._is_halved = False
        self._metrics = {name: METRICS[name] for name in metrics}
        self._criterion = problem.criterion
        model = copy_model(problem.model).to(device, DTYPES[precision]).eval()
        if choices.layout == "channels_last":
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._parameters = MovingParameters(
            model, directions, channels_last=choices.layout == "channels_last"
        )
        self._models = [model] + [_twin(model) for _ in range(threads - 1)]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._splits = {
            name: _place(split, device, DTYPES[precision], choices)
            for name, split in problem.splits.items()
        }

    def evaluate(self, alpha: float, beta: float = 0.0) -> np.ndarray:
        """Return the value columns at a point, float64 of shape (num_columns,).

        The order is that of `study.columns.value_columns`: for each split the metrics, each
        followed by its standard error, then the number of samples with a non-finite output.
        """
        self._parameters.move(*(alpha, beta)[: self.num_axes])
        row: list[float] = []
        for batches in self._splits.values():
            sums = self._sum_split(batches)
            for name in self._metrics:
                row += [sums[name].mean(), sums[name].standard_error(batches.available)]
            row.append(sums["nonfinite"].total)
        return np.array(row)

    def check_determinism(self) -> np.ndarray:
        """Return the values at the center, computed twice.

        Raises:
            UserError: If the two passes differ, or a pass changes the model's buffers.
        """
        buffers = [b.clone() for b in self._buffers()]
        first, second = self.evaluate(0.0), self.evaluate(0.0)
        if first.tobytes() != second.tobytes():
            k = int(np.argmax(first.view("i8") != second.view("i8")))  # NaN equals itself
            raise UserError(
                "the model or its loss gives two different values at the same parameters "
                f"({first[k]} and {second[k]}): expected none of dropout, random augmentation or "
                "batch statistics in evaluation mode; make both deterministic"
            )
        if any(not _same_bits(a, b) for a, b in zip(buffers, self._buffers(), strict=True)):
            raise UserError(
                "a forward pass changes the model's buffers: expected frozen statistics; make "
                "the model respect evaluation mode"
            )
        for batches in self._splits.values():
            self._check_batch_independence(*batches.parts[0])
        return first

    @torch.no_grad()
    def _check_batch_independence(self, inputs: Tensor, targets: Tensor) -> None:
        together, few = min(len(targets), 2 * FEW_SAMPLES), min(len(targets), 2 * FEW_SAMPLES) // 2
        if few == 0:
            return
        model = self._models[0]
        joint = self._criterion(model(inputs[:together]), targets[:together])[:few].double()
        alone = self._criterion(model(inputs[:few]), targets[:few]).double()
        if not torch.allclose(joint, alone, rtol=1e-2, atol=1e-4, equal_nan=True):
            raise UserError(
                f"the loss of a sample depends on its batch: {float(alone[0]):.6g} among {few} "
                f"samples, {float(joint[0]):.6g} among {together}; expected per-sample losses: use "
                "running statistics in norm layers, and no batch-wise loss"
            )

    def _buffers(self) -> list[Tensor]:
        # Asked anew each time: a forward pass may put another tensor in a buffer's place.
        return [buffer for model in self._models for buffer in model.buffers()]

    def _sum_split(self, batches: _Batches) -> dict[str, Sums]:
        totals = {name: Sums() for name in (*self._metrics, "nonfinite")}
        for part in self._map(batches.parts):
            totals = {name: totals[name] + part[name] for name in totals}
        return totals

    def _map(self, parts: list[tuple[Tensor, Tensor]]) -> list[dict[str, Sums]]:
        if self._pool is None:
            return [self._sum_batch(self._models[0], *part) for part in parts]
        count = len(self._models)

        def share(k: int) -> list[dict[str, Sums]]:
            return [self._sum_batch(self._models[k], *part) for part in parts[k::count]]

        shares = list(self._pool.map(share, range(count)))
        return [shares[i % count][i // count] for i in range(len(parts))]

    @torch.no_grad()
    def _sum_batch(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, Sums]:
        outputs = self._forward(model, inputs)
        losses = self._criterion(outputs, targets).to(torch.float64)  # (b,)
        finite = torch.isfinite(outputs).reshape(len(outputs), -1).all(dim=1)  # (b,)
        outcome = Outcome(outputs, targets, losses, finite)
        sums = {name: Sums.of(metric(outcome)) for name, metric in self._metrics.items()}
        sums["nonfinite"] = Sums.of((~finite).to(torch.float64))
        return sums

    def _forward(self, model: nn.Module, inputs: Tensor) -> Tensor:
        if not self._is_halved:
            try:
                return model(inputs)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                self._is_halved = True
                logger.warning(
                    "out of device memory: from here on each batch of %d samples passes the model "
                    "in two halves; last bits of the values may differ from those before",
                    len(inputs),
                )
        halves = inputs.split((len(inputs) + 1) // 2)
        return torch.cat([model(half) for half in halves])


def is_finite(row: np.ndarray, columns: Sequence[str]) -> bool:
    """Return whether all metrics of a point are finite (standard errors do not count)."""
    values = [v for v, name in zip(row, columns, strict=True) if not name.endswith("_stderr")]
    return bool(np.isfinite(values).all())


def copy_model(model: nn.Module) -> nn.Module:
    """Return a copy of a model with parameters of its own.

    Raises:
        UserError: If it holds tensors that are computed from parameters outside of forward.
    """
    try:
        return copy.deepcopy(model)
    except RuntimeError as error:
        raise UserError(
            f"the model {type(model).__name__} cannot be copied ({str(error).splitlines()[0]}): "
            "use torch.nn.utils.parametrizations instead of the old weight_norm or spectral_norm"
        ) from error


def _check_metrics(problem: Problem, metrics: Sequence[str]) -> None:
    for name, split in problem.splits.items():
        if "accuracy" in metrics and split.targets.is_floating_point():
            raise UserError(
                f"metric accuracy needs class labels, but the {name} split has floating "
                "targets; set metrics: [loss]"
            )


def _place(split: Split, device: torch.device, dtype: torch.dtype, choices: Choices) -> _Batches:
    inputs, targets = split.inputs, split.targets
    if inputs.is_floating_point():
        inputs = inputs.to(dtype)
    if targets.is_floating_point():
        targets = targets.to(dtype)
    inputs, targets = inputs.to(device), targets.to(device)
    if choices.layout == "channels_last" and inputs.dim() == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    size = choices.batch_size
    parts = list(zip(inputs.split(size), targets.split(size), strict=True))
    return _Batches(parts, split.available)


def _twin(model: nn.Module) -> nn.Module:
    # Shares every tensor, owns everything else: a forward pass may keep state in its modules.
    tensors: list[Any] = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(t): t for t in tensors})


def _same_bits(first: Tensor, second: Tensor) -> bool:
    # Compared as bytes: NaN equals itself, 0.0 does not equal -0.0.
    return first.cpu().numpy().tobytes() == second.cpu().numpy().tobytes()
