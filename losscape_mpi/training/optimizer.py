"""The optimizers: SGD, Adam, and the step uphill of SAM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from losscape_mpi.training.config import TrainConfig

TINY = 1e-12  # keeps a gradient of norm 0 from being divided by 0


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer of a recipe; sam's is the SGD that follows its second gradient.

    weight_decay is an L2 penalty in all of them: it is added to the gradient.
    """
    if config.optimizer == "adam":
        return torch.optim.Adam(
            model.parameters(), lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
        )
    return torch.optim.SGD(
        model.parameters(),
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
    )


@contextmanager
def uphill(model: nn.Module, rho: float) -> Iterator[None]:
    """Move the parameters along their gradient by rho, and put the same bits back afterwards.

    Foret et al. 2020 (arXiv:2010.01412), equation 2 with p = 2, over all parameters together and
    without the weight decay. Inside, BatchNorm normalises by its batch and its running
    statistics stay: they are those of the parameters, not of the place uphill.

    Args:
        model: With gradients at its parameters.
        rho: Length of the step.
    """
    moved = [p for p in model.parameters() if p.grad is not None]
    before = [t.detach().clone() for t in (*moved, *model.buffers())]
    norms = [torch.linalg.vector_norm(_gradient(p)) for p in moved]
    scale = rho / (torch.linalg.vector_norm(torch.stack(norms)) + TINY)
    with torch.no_grad():
        for parameter in moved:
            parameter.add_(_gradient(parameter) * scale)
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip((*moved, *model.buffers()), before, strict=True):
                tensor.copy_(value)


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        raise ValueError("found a parameter without a gradient")
    return parameter.grad
