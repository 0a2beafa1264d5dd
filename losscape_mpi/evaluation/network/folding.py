"""Batch norm folded into the layer before it, at every point anew: first moved, then folded.

w' = w s and b' = beta + (b - mean) s with s = gamma / sqrt(var + eps), for each output channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from losscape_mpi.evaluation.network.fusion import Fold
from losscape_mpi.evaluation.network.parameters import MovingParameters

NORM_TENSORS = ("weight", "bias", "running_mean", "running_var")


class Folding:
    """The folded weights and biases of all layers that took in a batch norm.

    Attributes:
        weights: Like `MovingParameters.flat`, with the kernels folded.
        biases: (points, F), F being the output channels of all folded layers.
    """

    def __init__(self, model: nn.Module, folds: Sequence[Fold], moving: MovingParameters) -> None:
        """Prepare the folding of a model's batch norms.

        Args:
            model: The original model; gives what does not move.
            folds: Which batch norm goes into which layer.
            moving: Its parameters.
        """
        self._flat = moving.flat
        views = moving.views(moving.flat)

        def rows(name: str, default: float) -> list[Tensor]:
            return [_row(model, fold, name, default, views) for fold in folds]

        self._layer_bias = [_layer_bias(fold, views) for fold in folds]
        self._gamma, self._beta = rows("weight", 1.0), rows("bias", 0.0)
        self._mean, self._variance = rows("running_mean", 0.0), rows("running_var", 1.0)
        widths = [row.shape[1] for row in self._gamma]
        epsilons = [float(_norm(model, fold).eps) for fold in folds]
        self._epsilon = torch.cat(
            [g.new_full((1, w), e) for g, w, e in zip(self._gamma, widths, epsilons, strict=True)],
            dim=1,
        )  # (1, F)
        self._index = _channel_of_entry(moving, folds, widths)
        norms = [f"{fold.norm}.{name}" for fold in folds for name in NORM_TENSORS]
        self._is_fixed = moving.moving.isdisjoint(norms)
        self._scale = self._spread = torch.zeros(0)
        self.weights = torch.empty_like(moving.flat)
        self.biases = self._epsilon.new_empty(len(moving.flat), sum(widths))
        starts = [sum(widths[:k]) for k in range(len(widths) + 1)]
        self._slices = {
            fold.layer: slice(*ends) for fold, ends in zip(folds, pairwise(starts), strict=True)
        }

    def apply(self) -> None:
        """Fold the batch norms where the parameters are now."""
        if not (self._is_fixed and len(self._scale)):
            variance = torch.cat(self._variance, dim=1)
            # NaN for a negative variance, which an extrapolated checkpoint may have: a result.
            self._scale = torch.cat(self._gamma, dim=1) / torch.sqrt(variance + self._epsilon)
            ones = self._scale.new_ones(len(self._scale), 1)
            self._spread = torch.cat([self._scale, ones], dim=1)[:, self._index]  # (points, N)
        torch.mul(self._flat, self._spread, out=self.weights)
        shift = torch.cat(self._layer_bias, dim=1) - torch.cat(self._mean, dim=1)
        torch.addcmul(torch.cat(self._beta, dim=1), shift, self._scale, out=self.biases)

    def bias_views(self, biases: Tensor) -> dict[str, Tensor]:
        """Return views of a tensor like `biases` by the layers' names, (points, channels) each."""
        return {layer: biases[:, part] for layer, part in self._slices.items()}


def _row(
    model: nn.Module, fold: Fold, name: str, default: float, views: dict[str, Tensor]
) -> Tensor:
    """Return a batch norm's tensor as (points, channels): a view of what moves, or a constant."""
    norm, full = _norm(model, fold), f"{fold.norm}.{name}"
    if full in views:
        return views[full]
    tensor = getattr(norm, name)
    like = next(iter(views.values()))
    if tensor is None:
        return like.new_full((len(like), norm.num_features), default)
    return tensor.detach().to(like).expand(len(like), -1)


def _norm(model: nn.Module, fold: Fold) -> Any:
    return model.get_submodule(fold.norm)


def _layer_bias(fold: Fold, views: dict[str, Tensor]) -> Tensor:
    full = f"{fold.layer}.bias"
    weight = views[f"{fold.layer}.weight"]  # (points, channels, ...)
    return views[full] if full in views else weight.new_zeros(weight.shape[:2])


def _channel_of_entry(
    moving: MovingParameters, folds: Sequence[Fold], widths: Sequence[int]
) -> Tensor:
    """Return for each of the N entries its channel among F; F itself where nothing is folded."""
    num_channels = sum(widths)
    index = torch.full((moving.flat.shape[1],), num_channels, dtype=torch.int64)
    parts, start = moving.parts(), 0
    for fold, width in zip(folds, widths, strict=True):
        part = parts[f"{fold.layer}.weight"]
        repeats = (part.stop - part.start) // width
        index[part] = torch.arange(start, start + width).repeat_interleave(repeats)
        start += width
    return index.to(moving.flat.device)
