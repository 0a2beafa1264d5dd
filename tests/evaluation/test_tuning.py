from dataclasses import replace

import pytest
import torch
from small_problems import (
    ConvNet,
    conv_problem,
    draw,
    labels,
    problem_of,
    random_directions,
    split_of,
)
from torch import nn

from losscape_mpi.evaluation import tuning
from losscape_mpi.evaluation.choices import Choices
from losscape_mpi.evaluation.tuning import Bench, default_points, slots_agree, tune, why_not_fused

START = Choices(4, "contiguous")


def mlp_problem(count=6):
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
    return problem_of(model, train=split_of(draw(count, 2), labels(count, 3)))


def bench_of(problem, notes=None):
    directions = random_directions(problem.model)
    note = (notes if notes is not None else []).append
    return Bench(problem, directions, ["loss"], torch.device("cpu"), 1, note)


@pytest.fixture
def timed(monkeypatch):
    """Seconds by choices, as the test says; everything else is real."""

    def use(seconds):
        monkeypatch.setattr(tuning, "point_seconds", lambda _bench, choices: seconds(choices))
        monkeypatch.setattr(
            tuning, "time_points", lambda _bench, _evaluator, count: seconds(points(count))
        )

    def points(count):
        return replace(START, points_per_pass=count)

    return use


class Tossing(nn.Module):
    """Looks traceable, but a trace freezes the coin."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.calls = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), 0

    def forward(self, x):
        self.calls += 1
        return (self.norm(self.conv(x)) * self.calls).mean(dim=(2, 3))


def test_convolutions_with_norms_are_fused():
    assert why_not_fused(bench_of(conv_problem()), START) is None


def test_there_may_be_nothing_to_fuse():
    problem = problem_of(nn.Linear(2, 3), train=split_of(draw(4, 2), labels(4, 3)))
    assert why_not_fused(bench_of(problem), START) == ""


def test_a_trace_that_gives_other_outputs_is_not_used():
    problem = problem_of(Tossing(), train=split_of(draw(4, 3, 2, 2), labels(4, 3)))
    notes = []
    chosen = tune(bench_of(problem, notes), START, fused=True, batch=False, points=False)
    assert not chosen.fused
    assert "other outputs" in notes[0]


def test_what_cannot_be_traced_is_named_and_runs_layer_by_layer():
    class Asking(ConvNet):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else super().forward(-x)

    problem = problem_of(Asking(), train=conv_problem().splits["train"])
    notes = []
    chosen = tune(bench_of(problem, notes), START, fused=True, batch=False, points=False)
    assert not chosen.fused
    assert "torch.fx cannot trace it" in notes[0]


def test_small_networks_without_convolutions_default_to_several_points():
    assert default_points(bench_of(mlp_problem()), replace(START, batch_size=8)) == 16
    assert default_points(bench_of(mlp_problem()), START) == 1  # two batches a point
    assert default_points(bench_of(conv_problem()), replace(START, batch_size=8)) == 1


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [({1: 1e-3, 16: 9e-4, 64: 4e-4}, 1), ({1: 1e-3, 16: 9e-4, 64: 2e-4}, 64), ({}, 1)],
)
def test_more_points_are_taken_only_for_a_clear_gain(timed, seconds, wanted):
    timed(lambda choices: seconds.get(choices.points_per_pass, 1e-3))
    chosen = tune(bench_of(conv_problem()), START, fused=False, batch=False, points=True)
    assert chosen.points_per_pass == wanted


def test_a_long_point_is_not_tried_with_others(timed):
    timed(lambda choices: 1.0 / choices.points_per_pass)
    chosen = tune(bench_of(conv_problem()), START, fused=False, batch=False, points=True)
    assert chosen.points_per_pass == 1


@pytest.mark.parametrize(("gain", "wanted"), [(2.0, 4), (4.0, 16)])
def test_another_batch_is_taken_only_for_a_clear_gain(timed, gain, wanted):
    timed(lambda choices: 1.0 if choices.batch_size == 4 else 1.0 / gain)
    problem = conv_problem(count=40)
    chosen = tune(bench_of(problem), START, fused=False, batch=True, points=False)
    assert chosen.batch_size in (wanted, 2 if gain == 4.0 else wanted)


def test_a_point_has_the_same_bits_in_every_place_of_a_pass():
    bench = bench_of(mlp_problem())
    evaluator = bench.evaluator(replace(START, batch_size=8, points_per_pass=16))
    assert slots_agree(bench, evaluator, 16)


def test_places_that_differ_are_noticed():
    class Leaning:
        """Adds the number of the place to every value."""

        def evaluate_many(self, points):
            return (draw(1).numpy() * 0 + k for k, _ in enumerate(points))

    assert not slots_agree(bench_of(mlp_problem()), Leaning(), 16)
