"""What a job's choices become after the trial of its network."""

import json
import math

import pytest
import torch
from small_problems import draw, labels, problem_of, random_directions, split_of
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.study.load import load_study
from losscape_mpi.task.build import begin_task
from losscape_mpi.task.job import Job
from losscape_mpi.task.task import Host

CHOICES = Choices(16, "contiguous", widens=True)
SETTINGS = ["grid.alpha=[-1, 1, 3]", "grid.beta=[-1, 1, 3]"]


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.b(torch.tanh(self.a(x)))


class Seeded(Layers):
    def forward(self, x):
        torch.manual_seed(0)
        return self.b(self.a(x) @ torch.randn(5, 5))


class Detached(Layers):
    def forward(self, x):
        return self.b(torch.tanh(self.a(x)).detach())


def begin(kind, *metrics, is_tuned=False, threads=2):
    """Begin a job in this process; returns its task, and what was decided and said."""
    study = load_study(None, [*SETTINGS, f"metrics=[{','.join(metrics)}]"])
    problem = problem_of(kind(), train=split_of(draw(20, 4), labels(20, 3)))
    tensors = random_directions(problem.model)
    directions = {a: {n: t.numpy() for n, t in d.items()} for a, d in tensors.items()}
    said, decided = [], []

    def agree(own):
        decided.append(json.loads(own))
        return own

    job = Job(study, CHOICES, {}, directions, metrics=metrics, is_tuned=is_tuned)
    host = Host(torch.device("cpu"), threads, not is_tuned, said.append, lambda: None, agree)
    return begin_task(job, problem, host), decided, said


def test_a_seed_in_forward_puts_all_processes_into_one_lane():
    task, (decided,), said = begin(Seeded, "loss")
    assert decided["one_lane"] is True
    assert any(
        "each process computes in one thread: a pass calls torch.manual_seed" in line
        for line in said
    )
    assert math.isfinite(task.reference()[0])
    assert len(task._evaluator.passes.replicas) == 1


def test_other_networks_keep_their_lanes_and_their_manifest():
    task, (decided,), _ = begin(Layers, "loss")
    assert "one_lane" not in decided
    assert len(task._evaluator.passes.replicas) == 2


def test_a_file_that_was_begun_before_the_trial_goes_on_in_one_lane():
    task, decided, said = begin(Seeded, "loss", is_tuned=True)
    assert decided == []
    assert "one thread" in said[0]
    assert len(task._evaluator.passes.replicas) == 1


def test_a_gradient_that_is_hidden_from_autograd_is_refused_where_it_is_asked_for():
    with pytest.raises(UserError, match="not the derivative of the loss"):
        begin(Detached, "loss", "gradient")
    begin(Detached, "loss")
