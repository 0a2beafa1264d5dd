"""What a study wishes is what is chosen; what it leaves open is tuned."""

import json
import types
from dataclasses import asdict, replace

import pytest
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice import support as trial
from losscape_mpi.evaluation.choice import tuning
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.decide import build_evaluator, decide
from losscape_mpi.evaluation.estimators.anchored import AnchoredEvaluator
from losscape_mpi.evaluation.estimators.corrected import CorrectedEvaluator
from losscape_mpi.evaluation.estimators.mean import Evaluator
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.measure.build import sample_measures
from losscape_mpi.problem.build import build_problem
from losscape_mpi.study.load import load_study

CPU = torch.device("cpu")
SMALL = [
    *("problem.data.splits=[train]", "problem.data.samples=20"),
    *("grid.alpha=[-1,1,5]", "grid.beta=[-1,1,3]", "evaluation.anchors.stride=2"),
]
MLP = [*SMALL, "problem.model=mlp", "problem.checkpoint=null", "problem.data.name=spirals"]
START = Choices(64, "channels_last")


@pytest.fixture
def even(monkeypatch):
    """No alternative is faster than what tuning starts from."""
    monkeypatch.setattr(tuning, "point_seconds", lambda _bench, _choices: 1e-3)
    monkeypatch.setattr(tuning, "time_points", lambda _bench, _evaluator, _count: 1e-3)


def scene(overrides):
    study = load_study(None, overrides)
    problem = build_problem(study.problem, study.evaluation.precision)
    moves = make_plane(study.plane, 2, dict(problem.model.named_parameters())).directions
    return study, problem, moves


def measures_of(study, problem):
    return sample_measures(study.metrics, problem)


def decided(*wishes, base=SMALL, start=START, forward=None):
    notes, (study, problem, moves) = [], scene([*base, *wishes])
    if forward is not None:
        problem.model.forward = types.MethodType(forward, problem.model)
    found = decide(study, problem, moves, measures_of(study, problem), start, CPU, 1, notes.append)
    return (*found, notes)


def test_by_default_a_network_is_fused_in_float32_and_no_proof_is_needed(even):
    choices, record, notes = decided()
    assert choices == replace(START, fused=True)
    assert record == {}
    assert notes == []


def test_layers_stay_apart_where_the_study_says_so(even):
    assert decided("evaluation.fused=false")[0] == START


def test_float64_is_never_fused(even):
    choices, record, _ = decided("evaluation.precision=float64")
    assert choices == replace(START, precision="float64")
    assert record == {}


def test_a_small_network_takes_several_points_unless_the_study_says_otherwise(even):
    assert decided(base=MLP)[0].points_per_pass == 16
    assert decided("evaluation.points_per_pass=3", base=MLP)[0].points_per_pass == 3
    assert decided("evaluation.estimator=anchors", base=MLP)[0].points_per_pass == 1


def by_its_data(model, x):
    return type(model).forward(model, x if x.sum() + model.linear.bias.sum() > 0 else -x)


@pytest.mark.parametrize("fused", ["auto", "false"])
def test_points_that_a_model_does_not_take_together_are_refused(even, fused):
    wishes = ("evaluation.points_per_pass=4", f"evaluation.fused={fused}")
    with pytest.raises(
        UserError, match=r"points_per_pass 4, .*control flow.*; set it to 1 or auto"
    ):
        decided(*wishes, base=MLP, forward=by_its_data)
    assert decided(base=MLP, forward=by_its_data)[0].points_per_pass == 1


def agree(monkeypatch, rule):
    """Let values depend on their place in a pass but where the rule says."""
    for module in (trial, tuning):
        monkeypatch.setattr(
            module, "slots_agree", lambda _bench, evaluator, _count: rule(evaluator)
        )


def test_points_whose_bits_depend_on_their_place_are_refused(even, monkeypatch):
    agree(monkeypatch, lambda _evaluator: False)
    with pytest.raises(UserError, match=r"points_per_pass 3, .*depend on its place"):
        decided("evaluation.points_per_pass=3", base=MLP)
    assert decided("evaluation.points_per_pass=1", base=MLP)[0].points_per_pass == 1


def test_points_that_go_together_have_the_same_bits_in_the_precision_that_is_chosen(
    even, monkeypatch
):
    low = ("evaluation.precision=bfloat16", "evaluation.precision_tolerance=0.5")
    assert decided(*low, base=MLP)[0].points_per_pass == 16
    agree(monkeypatch, lambda evaluator: evaluator.passes.replicas[0].network._low is None)
    choices, record, notes = decided(*low, base=MLP)
    assert (choices.precision, choices.points_per_pass) == ("bfloat16", 1)
    assert record["mode"] == "bfloat16"
    assert "one point at a time in bfloat16: a value would depend on its place" in notes[2]
    with pytest.raises(UserError, match=r"points_per_pass 3, .*depend on its place"):
        decided(*low, "evaluation.points_per_pass=3", base=MLP)


def test_a_batch_size_that_the_study_names_is_not_tuned(monkeypatch):
    wide = replace(START, batch_size=16)
    monkeypatch.setattr(tuning, "point_seconds", lambda _b, c: 1.0 if c.batch_size == 16 else 0.01)
    fixed = ("evaluation.points_per_pass=1",)
    assert decided(*fixed, start=wide)[0].batch_size != 16
    assert decided(*fixed, "evaluation.batch_size=16", start=wide)[0].batch_size == 16


def test_a_low_precision_comes_with_its_proof(even):
    wish = ("evaluation.precision=bfloat16", "evaluation.precision_tolerance=0.5")
    choices, record, notes = decided(*wish)
    assert choices == replace(START, fused=True, precision="bfloat16")
    assert 0 < record["max_relative"] <= 0.5
    assert record["mode"] == "bfloat16"
    json.dumps(record, allow_nan=False)
    assert [note.split(":")[0] for note in notes] == ["probing float32", "probing bfloat16"]


def test_a_low_precision_that_errs_too_much_is_refused(even):
    with pytest.raises(UserError, match="precision bfloat16 errs by"):
        decided("evaluation.precision=bfloat16", "evaluation.precision_tolerance=1e-6")


def test_choices_outlive_the_manifest():
    choices = Choices(7, "channels_last", 3, True, "bfloat16", 64, 0.01, True)
    record = json.loads(json.dumps(asdict(choices) | {"precision_error": {"probes": 16}}))
    assert Choices.of(record) == choices


@pytest.mark.parametrize(
    ("wishes", "choices", "kind"),
    [
        ([], START, Evaluator),
        ([], replace(START, precision="bfloat16", correction=8), CorrectedEvaluator),
        (["evaluation.estimator=anchors"], START, AnchoredEvaluator),
    ],
)
def test_estimator_and_choices_say_which_evaluator_is_built(wishes, choices, kind):
    study, problem, moves = scene([*SMALL, *wishes])
    measures = measures_of(study, problem)
    found = build_evaluator(study, problem, moves, measures, choices, CPU, 1)
    assert type(found) is kind
    center = found.evaluate(0.0, 0.0)  # an anchor
    wanted = Evaluator(problem, moves, measures, replace(choices, precision="float32"))
    if kind is not CorrectedEvaluator:
        assert center.tobytes() == wanted.evaluate(0.0, 0.0).tobytes()
