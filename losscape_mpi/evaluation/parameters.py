"""The parameters of a model as one flat buffer that moves over the plane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


class MovingParameters:
    """A model's parameters, kept at theta(alpha, beta) = center + alpha d_alpha + beta d_beta.

    The model's parameters become views of one flat buffer, so that a move is two fused updates
    whatever the number of tensors. Each move starts from the center: nothing accumulates.
    """

    def __init__(
        self,
        model: nn.Module,
        directions: Mapping[str, Mapping[str, Tensor]],
        channels_last: bool = False,
    ) -> None:
        """Take over the floating parameters of a model that is on its device already.

        Args:
            model: Its parameters are the center; their data is replaced by views.
            directions: Tensors by axis ("alpha", "beta") and parameter name; parameters without
                one stay at the center.
            channels_last: Whether 4-D parameters (kernels) are stored channels last.
        """
        named = [(n, p) for n, p in model.named_parameters() if p.is_floating_point()]
        _check_names(directions, {n for n, _ in named})
        self._channels_last = channels_last
        self.center = torch.cat([self._flatten(p.detach()) for _, p in named])
        self.axes = [
            torch.cat([self._flatten(axis[n].to(p)) if n in axis else _zeros(p) for n, p in named])
            for axis in directions.values()
        ]
        self._theta = self.center.clone()
        for (_, parameter), view in zip(named, self._views(named), strict=True):
            parameter.data = view

    def move(self, *coordinates: float) -> None:
        """Set the model's parameters to a point of the plane: (alpha,) or (alpha, beta)."""
        self._theta.copy_(self.center)
        for axis, coordinate in zip(self.axes, coordinates, strict=True):
            self._theta.add_(axis, alpha=coordinate)

    def _views(self, named: list[tuple[str, nn.Parameter]]) -> Iterator[Tensor]:
        start = 0
        for _, parameter in named:
            flat = self._theta[start : start + parameter.numel()]
            start += parameter.numel()
            yield self._unflatten(flat, parameter)

    def _flatten(self, tensor: Tensor) -> Tensor:
        if self._channels_last and tensor.dim() == 4:
            tensor = tensor.permute(0, 2, 3, 1)  # (O, I, h, w) -> (O, h, w, I)
        return tensor.reshape(-1)

    def _unflatten(self, flat: Tensor, like: Tensor) -> Tensor:
        if not (self._channels_last and like.dim() == 4):
            return flat.view(like.shape)
        out, inner, height, width = like.shape
        return flat.view(out, height, width, inner).permute(0, 3, 1, 2)  # (O, I, h, w)


def _check_names(directions: Mapping[str, Mapping[str, Tensor]], names: set[str]) -> None:
    for axis, direction in directions.items():
        if foreign := sorted(set(direction) - names):
            raise ValueError(f"direction {axis} names {foreign[0]}, which the model does not have")


def _zeros(parameter: Tensor) -> Tensor:
    return torch.zeros(parameter.numel(), dtype=parameter.dtype, device=parameter.device)
