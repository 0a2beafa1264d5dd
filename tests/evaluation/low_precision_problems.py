"""Problems whose low precision errs by a known amount, so that its proof can be checked by hand.

A model that is not fused runs under autocast where the precision is low; these ask for it.
"""

import torch
from small_problems import draw, problem_of, split_of
from torch import Tensor, nn

from losscape_mpi.problem.build import Problem

WEIGHTS = (3.0, 1.0, -2.0)  # in eighths, as the inputs are: every product and sum is exact


class Shifted(nn.Module):
    """x.w for each sample, and in low precision `shift + slope x_0` more."""

    def __init__(self, shift: float = 0.0, slope: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(WEIGHTS))
        self.shift, self.slope = shift, slope

    def forward(self, x: Tensor) -> Tensor:
        outputs = (x * self.weight).sum(dim=1, keepdim=True)
        if torch.is_autocast_enabled("cpu"):
            outputs = outputs + self.shift + self.slope * x[:, :1]
        return outputs


def value_itself(outputs: Tensor, targets: Tensor) -> Tensor:
    """The loss of a sample is its output."""
    return outputs[:, 0]


def eighths(*shape: int, seed: int = 0) -> Tensor:
    return (8 * draw(*shape, seed=seed)).round() / 8


def shifted_problem(
    count: int = 300, available: int | None = None, shift: float = 0.0, slope: float = 0.0
) -> Problem:
    """Samples whose mean loss is about 5 + 3 alpha + beta (see `axes`)."""
    inputs = eighths(count, 3, seed=5) + torch.tensor([1.0, 2.0, 0.0])
    split = split_of(inputs, torch.zeros(count), available)
    return problem_of(Shifted(shift, slope), value_itself, train=split)


def axes() -> dict[str, dict[str, Tensor]]:
    return {
        "alpha": {"weight": torch.tensor([1.0, 1.0, 0.5])},
        "beta": {"weight": torch.tensor([-1.0, 1.0, 0.25])},
    }


def losses_at(problem: Problem, alpha: float, beta: float, *, low: bool = False):
    """The loss of each sample by numpy, float64 of shape (m,)."""
    x = problem.splits["train"].inputs.double().numpy()
    steps = [d["weight"].double().numpy() for d in axes().values()]
    model = problem.model
    exact = x @ (torch.tensor(WEIGHTS).double().numpy() + alpha * steps[0] + beta * steps[1])
    return exact + model.shift + model.slope * x[:, 0] if low else exact
