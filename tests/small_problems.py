"""Problems so small that their numbers can be computed by hand or by numpy."""

import copy

import torch
from torch import Tensor, nn

from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.estimators.mean import Evaluator
from losscape_mpi.measure.build import sample_measures
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.data.split import Split
from losscape_mpi.problem.loss import cross_entropy


def split_of(inputs: Tensor, targets: Tensor, available: int | None = None) -> Split:
    classes = None if targets.is_floating_point() else int(targets.max()) + 1
    return Split(inputs, targets, "", available or len(inputs), classes)


def problem_of(model: nn.Module, criterion=cross_entropy, **splits: Split) -> Problem:
    return Problem(model.eval(), criterion, splits, {})


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels(count: int, classes: int, seed: int = 0) -> Tensor:
    return torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed))


def random_directions(model: nn.Module, axes: tuple[str, ...] = ("alpha", "beta")):
    return {
        axis: {
            name: draw(*parameter.shape, seed=100 * k + j)
            for j, (name, parameter) in enumerate(model.named_parameters())
        }
        for k, axis in enumerate(axes, start=1)
    }


def evaluator_of(problem: Problem, directions=None, metrics=("loss",), **options) -> Evaluator:
    batch_size, layout = options.pop("batch_size", 3), options.pop("layout", "contiguous")
    precision = options.pop("precision", "float64")
    names = ("points_per_pass", "fused")
    chosen = {name: options.pop(name) for name in names if name in options}
    choices = Choices(batch_size, layout, precision=precision, **chosen)
    measures = sample_measures(metrics, problem)
    return Evaluator(problem, directions or {}, measures, choices, **options)


def moved(model: nn.Module, directions, *coordinates: float) -> nn.Module:
    """The model in float64 at a point of the plane, formed one tensor at a time."""
    there = copy.deepcopy(model).double()
    with torch.no_grad():
        for name, parameter in there.named_parameters():
            for axis, coordinate in zip(directions.values(), coordinates, strict=True):
                if name in axis:
                    parameter.add_(coordinate * axis[name].double())
    return there


class ConvNet(nn.Module):
    """Convolution, batch normalization with statistics of its own, transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.up = nn.ConvTranspose2d(4, 5, 2, bias=False)
        self.linear = nn.Linear(5, 3)
        parameters = list(self.parameters())
        with torch.no_grad():
            for k, parameter in enumerate(parameters):
                parameter.copy_(0.3 * draw(*parameter.shape, seed=50 + k))
            self.norm.running_mean.copy_(0.1 * draw(4, seed=90))
            self.norm.running_var.copy_(0.5 + draw(4, seed=91).abs())

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv(x)))
        return self.linear(self.up(x).mean(dim=(2, 3)))


def conv_problem(count: int = 7) -> Problem:
    train = split_of(draw(count, 3, 6, 5, seed=1), labels(count, 3, seed=2), available=2 * count)
    return problem_of(ConvNet(), train=train)
