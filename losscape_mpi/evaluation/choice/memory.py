"""What fits a device: the batch size and memory layout that tuning starts from.

A function of the study and the kind of device, never of the number of ranks or threads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.copy import copy_model
from losscape_mpi.problem.data.split import DTYPES

# Measured with ResNet-56 on 2 cores (docs/benchmarks.md): batches of 32 to 64 images, whose largest
# activation takes 2 to 4 MiB, are the fastest; 256 images take 1.2 to 1.4 times as long.
CPU_ACTIVATION_BYTES = 4 << 20
MAX_CPU_BATCH = 1024
MAX_CUDA_BATCH = 8192
LIVE_ACTIVATIONS = 4  # input, output, shortcut and workspace of one layer
CUDA_MEMORY_SHARE = 0.5  # of what is left beside the data, for the allocator's fragments
TWO_LEVELS = 2  # copies of the data that precision auto may end with: float32 and a low one


def choose(
    problem: Problem, precision: str, batch_size: int | str, is_cuda: bool, memory_bytes: int
) -> Choices:
    """Return the batch size and the layout for a problem on one kind of device.

    On a GPU the data, in both precisions where two may be kept, and the activations of one point
    fit into a part of the memory that the device has. What is free at the moment, who else uses
    the device (workers that share it, too) and several points in one pass do not enter: a batch
    that finds no memory is halved when it runs (`replica`).

    Args:
        problem: Model on the CPU, with its data.
        precision: As evaluation.precision names it.
        batch_size: The study's wish: a number, or "auto".
        is_cuda: Whether the evaluators run on GPUs.
        memory_bytes: Memory of the smallest device.

    Raises:
        UserError: If the data alone does not fit a GPU.
    """
    inputs = next(iter(problem.splits.values())).inputs
    exact = "float64" if precision == "float64" else "float32"
    layout = "channels_last" if takes_channels_last(problem.model, inputs[:2]) else "contiguous"
    if batch_size != "auto":
        return Choices(int(batch_size), layout, precision=exact, widens=True)
    activation = largest_activation_bytes(problem.model, inputs[:1], DTYPES[precision])
    if not is_cuda:
        fitting = _power_of_two(CPU_ACTIVATION_BYTES // activation)
        return Choices(min(fitting, MAX_CPU_BATCH), layout, precision=exact, widens=True)
    data = sum(s.inputs.numel() * DTYPES[precision].itemsize for s in problem.splits.values())
    if CUDA_MEMORY_SHARE * (memory_bytes - data) < LIVE_ACTIVATIONS * activation:
        raise UserError(
            f"the data takes {data >> 20} MiB, the smallest GPU has {memory_bytes >> 20} MiB; "
            "set problem.data.samples to fewer"
        )
    room = memory_bytes - data
    if precision == "auto":
        room = max(room - (TWO_LEVELS - 1) * data, room // 4)  # float32 may do without the other
    free = CUDA_MEMORY_SHARE * room
    fitting = _power_of_two(int(free / LIVE_ACTIVATIONS / activation))
    return Choices(min(fitting, MAX_CUDA_BATCH), layout, precision=exact, widens=True)


def takes_channels_last(model: nn.Module, samples: Tensor) -> bool:
    """Return whether a model runs on images that lie in memory channels last.

    A forward pass with `x.view(n, -1)` does not: it wants the channels first.

    Args:
        model: On the CPU, in evaluation mode; stays as it is.
        samples: Some samples, shape (n, ...); only 4-D ones have channels.
    """
    if samples.dim() != 4:
        return False
    twin = copy_model(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        with torch.no_grad():
            twin(samples.contiguous(memory_format=torch.channels_last))
    except RuntimeError:
        return False
    return True


def largest_activation_bytes(model: nn.Module, sample: Tensor, dtype: torch.dtype) -> int:
    """Return the size of the largest tensor that any layer gives for one sample.

    Args:
        model: On the CPU, in evaluation mode.
        sample: A batch of one, shape (1, ...).
        dtype: Precision the activations will have.
    """
    sizes = [sample.numel()]

    def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel())

    handles = [module.register_forward_hook(note) for module in model.modules()]
    try:
        with torch.no_grad():
            model(sample)
    finally:
        for handle in handles:
            handle.remove()
    return max(sizes) * dtype.itemsize


def _power_of_two(value: int) -> int:
    return 1 << max(value, 1).bit_length() - 1
