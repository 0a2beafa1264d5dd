"""The model on its device: moved over the plane, then run on batches."""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Sequence, Set
from typing import Any

import torch
from torch import Tensor, nn

from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.network.folding import Folding
from losscape_mpi.evaluation.network.fused_layer import FusedLayer
from losscape_mpi.evaluation.network.fusion import Fused, fuse
from losscape_mpi.evaluation.network.parameters import MovingParameters, Place, put
from losscape_mpi.evaluation.network.prefix import Kept, SplitModel, split
from losscape_mpi.geometry.direction import Directions
from losscape_mpi.problem.copy import copy_model
from losscape_mpi.problem.data.split import DTYPES
from losscape_mpi.problem.number import cast_model

logger = logging.getLogger(__name__)

LOW = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Network:
    """A copy of a model whose parameters move, at one or several points of the plane at once.

    With fused layers the weights are moved and folded in the model's precision and cast once. A
    model that runs as it is runs under autocast where the precision is low.

    Attributes:
        original: The copy with its own modules, at the same parameters.
        points: How many points one move goes to.
        is_fused: Whether the model runs as a trace with fused layers.
        uses_tf32: Whether float32 products may be rounded to TF32.
    """

    def __init__(
        self,
        model: nn.Module,
        directions: Directions,
        choices: Choices,
        device: torch.device,
    ) -> None:
        """Copy the model to the device; the caller's stays as it is."""
        self.points = choices.points_per_pass
        self.is_fused = choices.fused
        self.uses_tf32 = choices.precision == "tf32"
        self._device = device
        is_channels_last = choices.layout == "channels_last"
        self._low = LOW.get(choices.precision)
        self._is_cast = choices.fused and self._low is not None
        self.original = cast_model(copy_model(model), DTYPES[choices.precision], device).eval()
        self._moving = MovingParameters(
            self.original, directions, channels_last=is_channels_last, points=self.points
        )
        self._folding: Folding | None = None
        self._weights = self._biases = self._moving.flat
        self._model: nn.Module = self.original
        self._kept = Kept()
        if choices.fused:
            self._fuse(is_channels_last)
        self._moving.attach(self.original)
        self._run = self._plain if self.points == 1 else self._stacked()

    def move(self, points: Sequence[Place]) -> None:
        """Go to `self.points` places."""
        self._moving.move(points)
        if self._folding is not None:
            self._folding.apply()
        if self._is_cast:
            if self._folding is None:
                self._weights.copy_(self._moving.flat)
            else:
                self._weights.copy_(self._folding.weights)
                self._biases.copy_(self._folding.biases)

    def outputs(self, inputs: Tensor) -> Tensor:
        """Return the model's outputs for a batch, (points, b, ...).

        Low precision is widened to float32 here, so that loss and metrics are not rounded.
        """
        outputs = self._run(inputs)
        return outputs.float() if outputs.dtype in LOW.values() else outputs

    def cast(self, inputs: Tensor) -> Tensor:
        """Return inputs as the running model takes them, on its device."""
        if self._is_cast and inputs.is_floating_point():
            return inputs.to(self._device, self._low)
        return self.to_device(inputs)  # a model under autocast casts by itself

    def to_device(self, tensor: Tensor) -> Tensor:
        """Return inputs or targets on the device, floating ones in the original's precision."""
        dtype = self._moving.flat.dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(self._device, dtype)

    def keep_nothing(self) -> None:
        """Compute the first layers again at every point: their inputs may change in place."""
        self._kept = Kept(limit=0)

    def twin(self) -> Network:
        """Return a network for another thread: it shares every tensor and owns its modules."""
        other = copy.copy(self)
        tensors: list[Any] = [*self._model.parameters(), *self._model.buffers()]
        other._model = copy.deepcopy(self._model, {id(t): t for t in tensors})
        other._run = other._plain if other.points == 1 else other._stacked()
        return other

    def buffers(self) -> list[Tensor]:
        """Return the buffers of the model as it runs, now, without what moves by design."""
        # Asked anew each time: a forward pass may put another tensor in a buffer's place.
        own = [m for m in self._model.modules() if not isinstance(m, FusedLayer)]
        return [buffer for module in own for buffer in module.buffers(recurse=False)]

    def _fuse(self, is_channels_last: bool) -> None:
        fused = fuse(copy_model(self.original))
        if isinstance(fused, str):
            raise ValueError(f"a model that was to be fused cannot be traced: {fused}")
        self._model = fused.model
        if fused.folds:
            self._folding = Folding(self.original, fused.folds, self._moving)
            self._weights, self._biases = self._folding.weights, self._folding.biases
        if self._is_cast:
            self._model.to(self._low)  # what is not moved: other buffers
            self._weights, self._biases = self._weights.to(self._low), self._biases.to(self._low)
        for module in self._model.modules():
            if isinstance(module, FusedLayer):
                module.is_plain = self.points > 1
        if is_channels_last:
            self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, view in self._views().items():
            put(self._model, name, view[0])
        if self.points == 1:
            self._model = self._without_prefix(fused)

    def _without_prefix(self, fused: Fused) -> nn.Module:
        """Return the model in two parts if its first layers do not move, else as it is."""
        owners = {fold.norm: fold.layer for fold in fused.folds}
        moving = _modules_with(self.original, self._moving.moving)
        moving |= {owners[path] for path in moving if path in owners}
        return split(fused.model, lambda name: name in moving) or fused.model

    def _views(self) -> dict[str, Tensor]:
        """Return what the running model takes its weights from, (points, ...) each."""
        views = self._moving.views(self._weights)
        if self._folding is not None:
            biases = self._folding.bias_views(self._biases)
            views |= {f"{layer}.bias": view for layer, view in biases.items()}
        return views

    def _plain(self, inputs: Tensor) -> Tensor:
        with self._autocast():
            if isinstance(self._model, SplitModel):
                return self._model.rest(*self._kept.arguments(self._model, inputs))[None]
            return self._model(inputs)[None]  # (1, b, ...)

    def _stacked(self) -> Any:
        """Return the model over stacked parameters: one pass for several points."""
        model = self._model
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        views = {name: view for name, view in self._views().items() if name in tensors}

        def one(parameters: dict[str, Tensor], inputs: Tensor) -> Tensor:
            return torch.func.functional_call(model, parameters, (inputs,))

        many = torch.func.vmap(one, in_dims=(0, None))
        # "Please file us an issue": where it is slow, one point at a time is measured to be faster.
        warnings.filterwarnings("ignore", "There is a performance drop because we have not yet")

        def run(inputs: Tensor) -> Tensor:
            with self._autocast():
                return many(views, inputs)  # (points, b, ...)

        return run

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self._low is None or self._is_cast:
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, self._low)


def _modules_with(model: nn.Module, names: Set[str]) -> set[str]:
    """Return the modules that any of the named parameters or buffers is part of.

    A module of torch.nn may hold others and still be one step of a trace; a parameter that two
    modules share has the name of one of them.
    """
    tensors: list[tuple[str, Tensor]] = [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
    wanted = {id(tensor) for name, tensor in tensors if name in names}
    paths = [name.split(".")[:-1] for name, tensor in tensors if id(tensor) in wanted]
    return {".".join(path[:k]) for path in paths for k in range(1, len(path) + 1)}
