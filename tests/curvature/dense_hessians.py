"""Problems with a known Hessian, and the dense Hessian of small networks by another route."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian
from torch.nn.attention import SDPBackend, sdpa_kernel

from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.data.split import Split
from losscape_mpi.problem.loss import cross_entropy


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def labels(count: int, classes: int, seed: int = 0) -> Tensor:
    return torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed))


def problem_of(model: nn.Module, inputs: Tensor, targets: Tensor, criterion=cross_entropy):
    split = Split(inputs, targets, "", len(inputs), None)
    return Problem(model.eval(), criterion, {"train": split}, {})


class Quadratic(nn.Module):
    """Loss of sample a: (w - a)' H (w - a) / 2, so that H is the Hessian whatever the samples."""

    def __init__(self, matrix: np.ndarray, dtype=torch.float64) -> None:
        super().__init__()
        self.matrix = torch.from_numpy(matrix).to(dtype)
        self.w = nn.Parameter(draw(len(matrix), seed=3).to(dtype))

    def forward(self, samples: Tensor) -> Tensor:
        gap = self.w - samples  # (n, N)
        return 0.5 * ((gap @ self.matrix) * gap).sum(dim=1)


def quadratic_problem(matrix: np.ndarray, count: int = 6, dtype=torch.float64) -> Problem:
    samples = draw(count, len(matrix), seed=4).to(dtype)
    return problem_of(Quadratic(matrix, dtype), samples, torch.zeros(count), first_argument)


def first_argument(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs


def planted(spectrum, seed: int = 0) -> np.ndarray:
    """A symmetric matrix with these eigenvalues and random eigenvectors."""
    size = len(spectrum)
    basis, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))
    return basis @ np.diag(spectrum) @ basis.T


def tanh_problem(count: int = 45) -> Problem:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    return problem_of(model, draw(count, 4, seed=1), labels(count, 3, seed=2))


def dense_hessian(problem: Problem, names=None, rows: slice = slice(None)) -> np.ndarray:
    """The Hessian of the mean loss of some samples, by torch.func over all of them at once."""
    model, split = problem.model, problem.splits["train"]
    center = {n: p.detach() for n, p in model.named_parameters()}
    names = list(center) if names is None else names

    def mean_loss(flat: Tensor) -> Tensor:
        pieces = flat.split([center[n].numel() for n in names])
        there = {n: piece.view(center[n].shape) for n, piece in zip(names, pieces, strict=True)}
        outputs = functional_call(model, center | there, (split.inputs[rows],))
        return problem.criterion(outputs, split.targets[rows]).mean()

    with sdpa_kernel(SDPBackend.MATH):
        flat = torch.cat([center[n].reshape(-1) for n in names])
        return hessian(mean_loss)(flat).numpy()
