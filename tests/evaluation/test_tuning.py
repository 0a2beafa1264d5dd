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

from losscape_mpi.evaluation.choice import tuning
from losscape_mpi.evaluation.choice.bench import Bench, few_samples
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.support import slots_agree, why_not_fused
from losscape_mpi.evaluation.choice.tuning import default_points, tune
from losscape_mpi.evaluation.network import network
from losscape_mpi.evaluation.network.prefix import split
from losscape_mpi.measure.loss import Loss

START = Choices(4, "contiguous")


def mlp_problem(count=6):
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
    return problem_of(model, train=split_of(draw(count, 2), labels(count, 3)))


def bench_of(problem, notes=None):
    directions = random_directions(problem.model)
    note = (notes if notes is not None else []).append
    return Bench(problem, directions, [Loss()], torch.device("cpu"), 1, note)


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


class Masked(ConvNet):
    """A trace takes the branch of a mask that is never given."""

    def forward(self, x, mask=None):
        outputs = super().forward(x)
        return outputs if mask is None else outputs * mask.log()


def test_a_trace_that_does_not_run_is_named_and_the_model_runs_layer_by_layer():
    tokens = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Flatten(), nn.Linear(25, 3))
    scenes = [
        (tokens, split_of(draw(4, 5, 4), labels(4, 3)), "inputs of 3 dimensions"),
        (Masked(), conv_problem().splits["train"], "does not run"),
    ]
    for model, train, reason in scenes:
        notes = []
        bench = bench_of(problem_of(model, train=train), notes)
        chosen = tune(bench, START, fused=True, batch=False, points=False)
        assert not chosen.fused
        assert notes[0].startswith("the model runs layer by layer: its trace")
        assert reason in notes[0]


def test_a_model_that_fails_by_itself_keeps_its_own_error():
    class Broken(nn.Sequential):
        def forward(self, x):
            return super().forward(x.view(2, -1))

    model = Broken(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
    problem = problem_of(model, train=split_of(draw(4, 2), labels(4, 3)))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        why_not_fused(bench_of(problem), START)


def test_layers_that_are_kept_although_they_move_are_noticed(monkeypatch):
    layers = [nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)]
    problem = problem_of(nn.Sequential(*layers), train=split_of(draw(4, 2), labels(4, 3)))
    assert why_not_fused(bench_of(problem), START) is None
    last_alone = lambda model, _moves: split(model, lambda name: name == "4")  # noqa: E731
    monkeypatch.setattr(network, "split", last_alone)
    assert "other outputs" in why_not_fused(bench_of(problem), START)


@pytest.mark.parametrize(("count", "wanted"), [(5, 5), (16, 16), (23, 23), (39, 16 + 7)])
def test_a_few_samples_have_the_batches_of_all(count, wanted):
    few = few_samples(bench_of(mlp_problem(count)), 16)
    assert len(few.problem.splits["train"].inputs) == wanted
    assert len(few.problem.splits["train"].targets) == wanted


def test_few_samples_are_timed_and_the_default_once(monkeypatch):
    seen = []

    def seconds(bench, choices):
        seen.append((choices.batch_size, len(bench.problem.splits["train"].targets)))
        return 1.0

    monkeypatch.setattr(tuning, "point_seconds", seconds)
    tune(bench_of(mlp_problem(1001)), START, fused=False, batch=True, points=True)
    assert seen == [(4, 16 + 1001 % 16), (2, 16 + 1001 % 16), (16, 16 + 1001 % 16)]


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


def test_a_point_is_short_if_all_of_its_samples_are(timed):
    timed(lambda choices: 1e-3 / choices.points_per_pass)
    for count, wanted in ((40, 64), (1000, 1)):  # 1 ms, and 1000 / 24 ms
        bench = bench_of(mlp_problem(count))
        chosen = tune(bench, START, fused=False, batch=False, points=True)
        assert chosen.points_per_pass == wanted


@pytest.mark.parametrize("batch_size", [4, 8])  # 8: several points are the default
def test_points_whose_values_depend_on_their_place_are_not_taken_together(
    timed, monkeypatch, batch_size
):
    timed(lambda choices: 1e-3 / choices.points_per_pass)
    monkeypatch.setattr(tuning, "slots_agree", lambda _bench, _evaluator, _count: False)
    notes, start = [], replace(START, batch_size=batch_size)
    chosen = tune(bench_of(mlp_problem(), notes), start, fused=False, batch=False, points=True)
    assert chosen.points_per_pass == 1
    assert [note.split(" points")[0] for note in notes] == ["not 16", "not 64"]


def test_points_that_agree_in_small_groups_alone_go_in_small_groups(timed, monkeypatch):
    timed(lambda choices: 1e-3 / choices.points_per_pass)
    monkeypatch.setattr(tuning, "slots_agree", lambda _bench, _evaluator, count: count == 16)
    chosen = tune(bench_of(mlp_problem()), START, fused=False, batch=False, points=True)
    assert chosen.points_per_pass == 16


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
