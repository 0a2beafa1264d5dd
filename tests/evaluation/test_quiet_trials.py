"""What torch.fx and vmap print of a network that they cannot take does not reach the user."""

import warnings

import pytest
import torch
from small_problems import draw, labels, problem_of, random_directions, split_of
from torch import nn

from losscape_mpi.evaluation.choice.bench import Bench
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.support import (
    why_not_fused,
    why_not_stacked,
    why_not_together,
)
from losscape_mpi.measure.build import sample_measures


class OtherTrace(nn.Module):
    """Its trace takes another way than its tensors, and fails."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        hidden = torch.relu(self.first(x))
        return self.last(hidden if isinstance(x, torch.Tensor) else hidden.view(7, 11))


class Dynamic(OtherTrace):
    def forward(self, x):
        hidden = self.first(x)
        return self.last(hidden + torch.nonzero(hidden > 1e9).sum() * 0)


def bench_of(model):
    problem = problem_of(model, train=split_of(draw(9, 4), labels(9, 3)))
    measures = sample_measures(("loss",), problem)
    return Bench(problem, random_directions(model), measures, torch.device("cpu"), 1, print)


def test_a_trace_that_fails_is_one_reason_and_nothing_on_stderr(capfd):
    found = why_not_fused(bench_of(OtherTrace()), Choices(4, "contiguous"))
    assert found is not None
    assert "its trace with fused layers does not run (" in found
    assert capfd.readouterr().err == ""


def test_a_network_that_vmap_refuses_is_one_reason_without_advice(capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = why_not_together(bench_of(Dynamic()), Choices(4, "contiguous", points_per_pass=3))
    assert found is not None
    assert "dynamic shape" in found
    assert "issue" not in found.lower()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "Batching rule not implemented for aten::x. We could not generate a fallback.",
            "Batching rule not implemented for aten::x. We could not generate a fallback",
        ),
        ("vmap: no rule for y. Please file an issue on GitHub.", "no rule for y"),
        ("Please use Tensor.item", "RuntimeError"),
    ],
)
def test_sentences_that_ask_for_reports_are_left_out(said, told):
    assert why_not_stacked(RuntimeError(said)) == told
