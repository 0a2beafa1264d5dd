"""Checkpoints as places: every floating parameter and stored buffer of the network moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from losscape_mpi.errors import UserError
from losscape_mpi.problem.checkpoint import load_checkpoint
from losscape_mpi.problem.copy import copy_model
from losscape_mpi.problem.number import as_real, is_number, numbers_of

# Counts batches of training; evaluation never reads it.
UNREAD = "num_batches_tracked"


def whole_model(model: nn.Module) -> dict[str, dict[str, Tensor]]:
    """Return a direction that is 1 on all that a checkpoint sets, by the name of its axis."""
    moved = _numbers(model).items()
    return {"path": {name: torch.ones_like(as_real(tensor)) for name, tensor in moved}}


class States:
    """Reads checkpoints as tensors by name, like a model's own."""

    def __init__(self, model: nn.Module, files: Sequence[str], key: str | None = None) -> None:
        """Take what is read, and how.

        Args:
            model: On the CPU; stays as it is.
            files: Paths of the checkpoints.
            key: Which part of them, where they hold several.
        """
        self._scratch = copy_model(model)
        self._files = [Path(file) for file in files]
        self._fixed, self._key = _others(model), key

    def __call__(self, index: int) -> Mapping[str, Tensor]:
        """Return the tensors of a checkpoint.

        Raises:
            UserError: If it does not fit the network, or changes what stays the same.
        """
        path = self._files[index]
        load_checkpoint(self._scratch, path, self._key)
        for name, tensor in _others(self._scratch).items():
            if not tensor.equal(self._fixed[name]):
                raise UserError(
                    f"{path}: found other values of the integer buffer {name} than the network's, "
                    "expected checkpoints that differ in floating tensors only"
                )
        return {name: tensor.clone() for name, tensor in _numbers(self._scratch).items()}


def _stored(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and the buffers that a checkpoint holds, by name, detached."""
    kept = model.state_dict()
    named: dict[str, Tensor] = {name: p.detach() for name, p in model.named_parameters()}
    return named | {name: b for name, b in model.named_buffers() if name in kept}


def _numbers(model: nn.Module) -> dict[str, Tensor]:
    return numbers_of(_stored(model))


def _others(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: tensor.clone()
        for name, tensor in _stored(model).items()
        if not is_number(tensor) and name.rpartition(".")[2] != UNREAD
    }
