"""Small recipes for the tests of training, and how to follow them."""

from losscape_mpi.problem.build import build_problem
from losscape_mpi.training.config import TrainConfig
from losscape_mpi.training.loop import train
from losscape_mpi.training.session import begin, reproducible


def recipe(**settings):
    """Three full-batch epochs of logistic regression on 60 points, unless told otherwise."""
    data = {"name": "spirals", "args": {"per_arm": 20}, "splits": ["train", "test"]}
    problem = {"model": "logistic", "data": data} | settings.pop("problem", {})
    fields = {"epochs": 3, "batch_size": 100, "lr": 0.5, "output": "it.safetensors"}
    return TrainConfig(problem=problem, **fields | settings)


def never():
    return False


def trained(config, after_step=never):
    """The session of a recipe after its training."""
    with reproducible(config):
        session = begin(build_problem(config.problem), config)
        train(session, after_step)
        session.problem.model.eval()
    return session


def parameters(session):
    """A copy of all parameters and buffers by name."""
    return {name: t.clone() for name, t in session.problem.model.state_dict().items()}


def gradient(points, labels, weight, bias):
    """The gradient of the mean cross-entropy of logistic regression, in numpy."""
    import numpy as np

    logits = points @ weight.T + bias
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    error = (probability - np.eye(3)[labels]) / len(points)
    return [error.T @ points, error.sum(axis=0)]


def start_of(config):
    """Points, labels and the parameters [weight, bias] that a recipe begins with, in float64."""
    problem = build_problem(config.problem)
    points = problem.splits["train"].inputs.double().numpy()
    labels = problem.splits["train"].targets.numpy()
    names = ["linear.weight", "linear.bias"]
    theta = [problem.model.get_parameter(name).detach().double().numpy() for name in names]
    return points, labels, theta
