"""Gradient and Hessian-vector products of a split's mean loss at the trained parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from losscape_mpi.curvature.selection import choose_names, choose_samples
from losscape_mpi.errors import UserError, first_line
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.copy import copy_model
from losscape_mpi.problem.number import as_real, is_number, real_dtype, real_size

Tensors = tuple[Tensor, ...]
BATCH_SIZE = 128  # on a CPU core 32 to 256 images of ResNet-56 take the same time within 20 %


class CenterLoss:
    """The mean loss of a split near the center, as a function of chosen parameters.

    All vectors are flat: the chosen parameters in the model's order, each row-major, complex ones
    as pairs (`problem.number`). The model is
    a copy in eval mode with frozen buffers; its precision is the problem's. Sums over batches are
    float64 and divided once by the number of samples, so the batch size is no part of the result
    but for rounding. Nothing of one batch is kept for the next one.

    Attributes:
        names: The chosen parameters.
        size: Their numbers in all (N).
        num_samples: Samples of the split that are used.
        dtype: Widest precision among the chosen parameters.
    """

    def __init__(
        self,
        problem: Problem,
        names: Sequence[str] | None = None,
        *,
        split: str = "train",
        samples: int | None = None,
        seed: int = 0,
        batch_size: int = BATCH_SIZE,
        device: torch.device | str | None = None,
    ) -> None:
        """Place a copy of the model and the samples on the device; the problem stays as it is.

        Args:
            problem: Model, criterion and data.
            names: Parameters to differentiate by; None takes all floating ones.
            split: Name of the split.
            samples: Drawn of the split without replacement; None takes all.
            seed: Seed of that draw.
            batch_size: Samples of one pass; bounds the memory.
            device: Where to compute; None is the CPU.

        Raises:
            UserError: If a name, the split or the number of samples does not exist.
        """
        device = torch.device(device or "cpu")
        self._model = copy_model(problem.model).to(device).eval().requires_grad_(False)
        named = {n: p for n, p in self._model.named_parameters() if is_number(p)}
        chosen = choose_names(named, names)
        self._parameters = [named[name].requires_grad_() for name in chosen]
        self._criterion = problem.criterion
        inputs, targets = choose_samples(problem, split, samples, seed)
        self._batches = list(
            zip(
                inputs.to(device).split(batch_size),
                targets.to(device).split(batch_size),
                strict=True,
            )
        )
        self.names = chosen
        self.size = sum(real_size(p) for p in self._parameters)
        self.num_samples = len(targets)
        precisions = (real_dtype(p) for p in self._parameters)
        self.dtype = max(precisions, key=lambda dtype: dtype.itemsize)

    def gradient(self) -> np.ndarray:
        """Return the gradient of the mean loss, float64 of shape (N,)."""
        return self._mean(lambda loss: _differentiate(loss, self._parameters))

    def product(self, vector: np.ndarray) -> np.ndarray:
        """Return the Hessian of the mean loss times a vector, float64 of shape (N,).

        Reverse over reverse differentiation (Pearlmutter 1994), exact up to rounding. At a kink
        of ReLU it is the Hessian of the side that torch's derivative takes.

        Args:
            vector: Shape (N,).
        """
        parts = self.unflatten(vector)

        def second(loss: Tensor) -> Tensors:
            slopes = _differentiate(loss, self._parameters, keep_graph=True)
            along = torch.stack(
                [(as_real(s) * p).sum().double() for s, p in zip(slopes, parts, strict=True)]
            ).sum()
            if not along.requires_grad:  # the loss is linear in these parameters
                return tuple(torch.zeros_like(p) for p in self._parameters)
            return _differentiate(along, self._parameters)

        return self._mean(second)

    def unflatten(self, vector: np.ndarray) -> list[Tensor]:
        """Return a flat vector as tensors like the chosen parameters, on their device.

        Of complex parameters they are pairs.
        """
        flat = torch.from_numpy(np.asarray(vector, dtype=np.float64))
        like = [as_real(p.detach()) for p in self._parameters]
        pieces = flat.split([p.numel() for p in like])
        return [piece.view(p.shape).to(p) for piece, p in zip(pieces, like, strict=True)]

    def _mean(self, differentiate: Callable[[Tensor], Tensors]) -> np.ndarray:
        """Return the mean over samples of what is given for the summed loss of each batch."""
        like = [as_real(p.detach()) for p in self._parameters]
        totals = [torch.zeros_like(p, dtype=torch.float64) for p in like]
        state = self._buffer_state()
        with exact_arithmetic():
            for batch in self._batches:
                for total, part in zip(totals, self._of_batch(*batch, differentiate), strict=True):
                    total.add_(as_real(part.detach()))
        if self._buffer_state() != state:
            raise UserError(
                "a forward pass changes the model's buffers: expected frozen statistics; make "
                "the model respect evaluation mode"
            )
        flat = torch.cat([total.reshape(-1) for total in totals]).cpu().numpy()
        return flat / self.num_samples

    def _of_batch(
        self, inputs: Tensor, targets: Tensor, differentiate: Callable[[Tensor], Tensors]
    ) -> Tensors:
        loss = self._criterion(self._model(inputs), targets).sum()
        if not loss.requires_grad:
            raise UserError(
                f"the loss has no derivative by {self.names[0]}: expected a criterion and a model "
                "that compute with torch and detach nothing"
            )
        try:
            return differentiate(loss)
        except (RuntimeError, NotImplementedError) as error:
            if "not implemented" not in str(error):
                raise
            raise UserError(
                f"the model {type(self._model).__name__} has no second derivative "
                f"({first_line(error)}): expected differentiable operations"
            ) from error

    def _buffer_state(self) -> list[tuple[int, int]]:
        # torch counts the changes of a tensor; a buffer may also be replaced.
        return [(id(b), b._version) for b in self._model.buffers()]


def _differentiate(value: Tensor, by: Sequence[Tensor], keep_graph: bool = False) -> Tensors:
    """Return the derivatives, 0 by a tensor that the value does not depend on."""
    return torch.autograd.grad(
        value, by, create_graph=keep_graph, allow_unused=True, materialize_grads=True
    )


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Switch TF32 off, and fused attention too: it has no second derivative."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
