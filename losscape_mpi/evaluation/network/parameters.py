"""The parameters of a model as one flat buffer that moves over the plane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from losscape_mpi.geometry.direction import Directions
from losscape_mpi.problem.number import as_real, is_number, numbers_of

Place = Sequence[float] | Mapping[str, Tensor]
"""A point of the plane by its coordinates; or whatever place, by its tensors."""


class MovingParameters:
    """theta(alpha, beta) = center + alpha d_alpha + beta d_beta, at one or several points at once.

    All parameters of real or complex numbers, and the buffers that a direction names, lie in one
    flat tensor of real numbers, so that a move is a few fused updates whatever their number. Each
    move starts from the center: nothing accumulates. Sums are formed in the model's precision, or
    in float64 where a direction is float64, and rounded once.

    Attributes:
        flat: Where the points are, (points, N) in the model's precision; filled by `move`.
        moving: Names of the parameters and buffers on which a direction is not 0.
    """

    def __init__(
        self,
        model: nn.Module,
        directions: Directions,
        *,
        channels_last: bool = False,
        points: int = 1,
    ) -> None:
        """Copy the center of a model that is on its device already.

        Args:
            model: Stays as it is; `attach` lets it move.
            directions: Tensors by axis ("alpha", "beta") and name; what has none stays at the
                center.
            channels_last: Whether 4-D parameters (kernels) are stored channels last.
            points: How many points one move goes to.
        """
        named = _moving(model, directions)
        self._complex = {name for name, tensor in named.items() if tensor.is_complex()}
        named = {name: as_real(named[name]) for name in sorted(named, key=self._is_real)}
        self._shapes = {name: tensor.shape for name, tensor in named.items()}
        self._channels_last = channels_last
        wide = torch.promote_types(
            next(iter(named.values()), torch.zeros(0)).dtype,
            torch.float64 if _is_exact(directions) else torch.float32,
        )
        self.center = self._join(named).to(wide)
        self.axes = [
            self._join(_filled(axis, named)).to(self.center) for axis in directions.values()
        ]
        self._theta = self.center.repeat(points, 1)  # (points, N)
        dtype = next(iter(named.values()), self._theta).dtype
        self.flat = self._theta if dtype == wide else self._theta.to(dtype)
        self.moving = {name for name in named if _moves(name, directions)}

    def move(self, points: Sequence[Place]) -> None:
        """Go to as many places as were announced.

        Args:
            points: Points of the plane, (alpha,) or (alpha, beta) each; or tensors by name, one
                for each parameter and buffer that moves.
        """
        if isinstance(points[0], Mapping):
            self._put(points)
        else:
            self._step(points)
        if self.flat is not self._theta:
            self.flat.copy_(self._theta)

    def _put(self, states: Sequence[Any]) -> None:
        for row, state in zip(self._theta, states, strict=True):
            row.copy_(self._join({name: as_real(state[name]) for name in self._shapes}))

    def _step(self, points: Sequence[Any]) -> None:
        self._theta.copy_(self.center.expand_as(self._theta))
        for axis, coordinates in zip(self.axes, zip(*points, strict=True), strict=True):
            if len(coordinates) == 1:
                self._theta.add_(axis, alpha=coordinates[0])
            else:
                self._theta.addcmul_(_on_device(coordinates, axis)[:, None], axis[None, :])

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Return views of a tensor like `flat` by name, (points, *shape) each."""
        views = {name: self._unflatten(name, flat[:, part]) for name, part in self._parts()}
        return views | {name: torch.view_as_complex(views[name]) for name in self._complex}

    def parts(self) -> dict[str, slice]:
        """Return where each parameter lies in the flat tensor; kernels output channel first."""
        return dict(self._parts())

    def attach(self, model: nn.Module, flat: Tensor | None = None) -> None:
        """Let the parameters of a model be views of the first row of `flat` (default: its own).

        Args:
            model: The model that was given, or one with a part of its parameters.
            flat: (points, N), on the model's device.
        """
        for name, view in self.views(self.flat if flat is None else flat).items():
            put(model, name, view[0])

    def _is_real(self, name: str) -> bool:
        """Return False for complex parameters, which come first: pairs begin at even places."""
        return name not in self._complex

    def _parts(self) -> Iterator[tuple[str, slice]]:
        start = 0
        for name, shape in self._shapes.items():
            yield name, slice(start, start + shape.numel())
            start += shape.numel()

    def _join(self, tensors: Mapping[str, Tensor]) -> Tensor:
        flat = [self._flatten(name, tensor.detach()) for name, tensor in tensors.items()]
        if self._complex and sum(len(part) for part in flat) % 2:
            flat.append(flat[0].new_zeros(1))  # the pairs of a second point are at even places, too
        return torch.cat(flat) if flat else torch.zeros(0)

    def _flatten(self, name: str, tensor: Tensor) -> Tensor:
        if self._lies_channels_last(name):
            tensor = tensor.permute(0, 2, 3, 1)  # (O, I, h, w) -> (O, h, w, I)
        return tensor.reshape(-1)

    def _unflatten(self, name: str, flat: Tensor) -> Tensor:
        points, shape = len(flat), self._shapes[name]
        if not self._lies_channels_last(name):
            return flat.view(points, *shape)
        out, inner, height, width = shape
        return flat.view(points, out, height, width, inner).permute(0, 1, 4, 2, 3)

    def _lies_channels_last(self, name: str) -> bool:
        return self._channels_last and len(self._shapes[name]) == 4 and self._is_real(name)


def put(model: nn.Module, name: str, tensor: Tensor) -> None:
    """Put a tensor in the place of a parameter's data or of a buffer, where the model has it."""
    path, _, leaf = name.rpartition(".")
    try:
        module = model.get_submodule(path)
    except AttributeError:
        return
    if (parameter := module._parameters.get(leaf)) is not None:
        parameter.data = tensor
    elif leaf in module._buffers:
        module._buffers[leaf] = tensor


def _on_device(numbers: Sequence[float], like: Tensor) -> Tensor:
    """Return numbers beside a tensor, in its precision; a GPU's queue is not waited for."""
    # Pinned anew each time: torch gives the memory to nobody else before the copy has ended.
    here = torch.tensor(numbers, dtype=like.dtype, pin_memory=like.is_cuda)
    return here.to(like.device, non_blocking=True)


def _moving(model: nn.Module, directions: Directions) -> dict[str, Tensor]:
    """Return all parameters of numbers, and the buffers of numbers that a direction names."""
    wanted = {name for direction in directions.values() for name in direction}
    named: dict[str, Tensor] = numbers_of(dict(model.named_parameters()))
    named |= {n: b for n, b in model.named_buffers() if n in wanted and is_number(b)}
    for axis, direction in directions.items():
        if foreign := sorted(set(direction) - set(named)):
            raise ValueError(f"direction {axis} names {foreign[0]}, which the model does not have")
    return named


def _filled(axis: Mapping[str, Tensor], named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a tensor of a direction for every name, 0 where it has none."""
    return {
        name: axis[name].to(tensor.device) if name in axis else torch.zeros_like(tensor)
        for name, tensor in named.items()
    }


def _moves(name: str, directions: Directions) -> bool:
    return any(name in axis and bool(axis[name].any()) for axis in directions.values())


def _is_exact(directions: Directions) -> bool:
    return any(t.dtype == torch.float64 for axis in directions.values() for t in axis.values())
