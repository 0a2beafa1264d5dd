"""Sums over the samples of a split, in fixed shards: each is a block of float64.

A sum over all samples is then the sum of the shards in their order, which has the same bits on any
number of workers; a worker that dies costs its shard.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch

from losscape_mpi.curvature.gradient import GradientSums
from losscape_mpi.errors import UserError
from losscape_mpi.point.frames import VECTOR
from losscape_mpi.point.records import Answers, Chunk, block_answer
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.copy import copy_model
from losscape_mpi.problem.data.split import DTYPES
from losscape_mpi.problem.number import cast_model, from_real, numbers_of, real_size
from losscape_mpi.task.job import Job
from losscape_mpi.task.task import Host

NUM_SHARDS = 64  # whatever the number of workers: 64 GPUs share one sum


class ShardsTask:
    """The summed loss of a shard and its gradient at the present parameters.

    An answer holds 1 + N float64: the loss, then the gradient by all floating parameters in the
    model's order. The parameters are the checkpoint's until a vector (N float64) moves them.
    """

    def __init__(self, job: Job, problem: Problem, host: Host) -> None:
        """Place a copy of the model on the device."""
        precision = DTYPES[job.study.evaluation.precision]
        self._model = cast_model(copy_model(problem.model), precision, host.device).eval()
        self._model.requires_grad_(False)
        self._proves = host.proves
        self._split, self._samples = first_split(problem)
        self._sums = GradientSums(
            problem,
            self._model,
            parameter_names(problem),
            threads=host.threads,
            batch_size=job.choices.batch_size,
            widens=job.choices.widens,
        )

    def reference(self) -> np.ndarray:
        """Return summed loss and squared gradient norm of the first shard.

        Raises:
            UserError: If this process proves, and two passes differ.
        """
        first = self._checked()
        if self._proves and first.tobytes() != (second := self._checked()).tobytes():
            raise UserError(
                f"the gradient has two different norms at the same parameters ({first[1]} and "
                f"{second[1]}): expected none of dropout, random augmentation or batch statistics "
                "in evaluation mode; make the model deterministic"
            )
        return first

    def rehearse(self) -> int:
        """Compute one shard."""
        self._shard(0)
        return 1

    def answers(self, chunk: Chunk) -> Iterator[Answers]:
        """Yield the block of each shard."""
        for index in chunk.indices.tolist():
            began = time.perf_counter()
            block = self._shard(index).tobytes()
            yield block_answer(chunk.id, index, block, time.perf_counter() - began)

    def take(self, kind: bytes, block: bytes) -> None:
        """Move the parameters to a vector of N float64."""
        if kind != VECTOR:
            raise ValueError(f"found block {kind!r}, expected a vector")
        flat = torch.from_numpy(np.frombuffer(block, dtype="<f8").copy())
        parameters = self._sums.parameters()
        parts = flat.split([real_size(p) for p in parameters])
        with torch.no_grad():
            for parameter, part in zip(parameters, parts, strict=True):
                parameter.copy_(from_real(part, parameter))

    def _checked(self) -> np.ndarray:
        block = self._shard(0)
        return np.array([block[0], float(block[1:] @ block[1:])])

    def _shard(self, index: int) -> np.ndarray:
        start, stop = shard_range(index, self._samples)
        if start == stop:
            return np.zeros(1 + self._sums.size)
        loss, total = self._sums.sums(self._split, start, stop)
        return np.concatenate([[loss], total.cpu().numpy()])


def shard_range(index: int, samples: int) -> tuple[int, int]:
    """Return the first sample of a shard, and the one behind its last."""
    return index * samples // NUM_SHARDS, (index + 1) * samples // NUM_SHARDS


def first_split(problem: Problem) -> tuple[str, int]:
    """Return the name of the split that is summed over, and how many samples it has."""
    name, split = next(iter(problem.splits.items()))
    return name, len(split.targets)


def parameter_names(problem: Problem) -> list[str]:
    """Return the names of the parameters in a vector, in their order."""
    return list(numbers_of(dict(problem.model.named_parameters())))
