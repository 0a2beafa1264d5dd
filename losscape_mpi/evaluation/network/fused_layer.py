"""A layer that does the addition and the ReLU behind it, in one kernel where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CALLS: dict[type, Callable[..., Tensor]] = {
    nn.Linear: F.linear,
    nn.Conv1d: F.conv1d,
    nn.Conv2d: F.conv2d,
    nn.Conv3d: F.conv3d,
}


class FusedLayer(nn.Module):
    """A linear layer or convolution, then addition and ReLU where it took them in.

    On a CPU one oneDNN kernel does all of it. Its weight and bias are plain tensors that
    somebody else fills.

    Attributes:
        weight: As the source's.
        bias: As the source's, or None.
        has_norm: Whether a batch norm behind it is folded into weight and bias.
        has_relu: Whether it does the ReLU behind it, or behind the addition.
        may_overwrite: Whether what is added is not read again.
        is_plain: Whether it goes without oneDNN's kernels, which have no batching rule.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, source: Any) -> None:
        super().__init__()
        self._call: Callable[..., Tensor] = CALLS[type(source)]
        self._geometry: tuple[Any, ...] = ()
        if not isinstance(source, nn.Linear):
            names = ("stride", "padding", "dilation", "groups")
            self._geometry = tuple(getattr(source, name) for name in names)
        self.has_norm = self.has_relu = False
        self.may_overwrite = self.is_plain = False
        self.register_buffer("weight", source.weight.detach(), persistent=False)
        bias = source.bias
        self.register_buffer("bias", None if bias is None else bias.detach(), persistent=False)

    def forward(self, inputs: Tensor, added: Tensor | None = None) -> Tensor:
        """Return relu(layer(inputs) + added), without the parts that it did not take in.

        What is added may have any shape that broadcasts.

        Raises:
            ValueError: If a batch norm was folded whose channels the inputs put elsewhere.
        """
        if self.has_norm and inputs.dim() != self.weight.dim():
            raise ValueError(
                f"a batch norm follows a layer on inputs of {inputs.dim()} dimensions, "
                f"expected {self.weight.dim()}"
            )
        if self._takes_kernel(inputs, added):
            return self._kernel(inputs, added)
        outputs = self._call(inputs, self.weight, self.bias, *self._geometry)
        if added is not None:  # a batch of points cannot be added in place to what is shared
            is_alike = not self.is_plain and _is_tensor_of(added, outputs.shape, outputs.dtype)
            outputs = outputs.add_(added) if is_alike else outputs + added
        return outputs.relu_() if self.has_relu else outputs

    def _takes_kernel(self, inputs: Tensor, added: Tensor | None) -> bool:
        if self.is_plain or self._call is not F.conv2d or not _has_kernel(inputs):
            return False
        if added is None:
            return True
        # oneDNN does not broadcast, and adds in bfloat16 only where the layout is beyond doubt.
        is_clear = inputs.dtype != torch.bfloat16 or _lies_last(inputs, self.weight)
        return is_clear and _is_tensor_of(added, self._output_shape(inputs), inputs.dtype)

    def _output_shape(self, inputs: Tensor) -> tuple[int, ...]:
        """Return the shape (b, channels, height, width) of a 2-D convolution's outputs."""
        sizes = zip(inputs.shape[2:], self.weight.shape[2:], *self._geometry[:3], strict=True)
        places = [(n + 2 * pad - gap * (k - 1) - 1) // step + 1 for n, k, step, pad, gap in sizes]
        return (len(inputs), len(self.weight), *places)

    def _kernel(self, inputs: Tensor, added: Tensor | None) -> Tensor:
        stride, padding, dilation, groups = self._geometry
        layer = (self.weight, self.bias, padding, stride, dilation, groups)
        if added is None:
            relu = "relu" if self.has_relu else "none"
            return torch.ops.mkldnn._convolution_pointwise(inputs, *layer, relu, [], "")
        after: tuple[Any, ...] = ("add", 1.0, "relu" if self.has_relu else None, [], "")
        if self.may_overwrite:
            return torch.ops.mkldnn._convolution_pointwise_.binary(added, inputs, *layer, *after)
        return torch.ops.mkldnn._convolution_pointwise.binary(inputs, added, *layer, *after)


def _has_kernel(inputs: Tensor) -> bool:
    if inputs.device.type != "cpu" or inputs.dim() != 4 or not torch.backends.mkldnn.is_available():
        return False
    if inputs.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return inputs.dtype == torch.float32


def _is_tensor_of(value: Any, shape: tuple[int, ...], dtype: torch.dtype) -> bool:
    """Return whether a value of the traced graph, a tensor or a number, is such a tensor."""
    return isinstance(value, Tensor) and value.shape == shape and value.dtype == dtype


def _lies_last(*tensors: Any) -> bool:
    """Return whether one of the tensors is channels last and cannot be taken for contiguous."""
    return any(
        t.is_contiguous(memory_format=torch.channels_last) and not t.is_contiguous()
        for t in tensors
    )
