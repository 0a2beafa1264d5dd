"""Metrics of the user's own: what they may return, and what is refused in one line."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from small_problems import draw, evaluator_of, labels, problem_of, split_of
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.measure.build import build_measures
from losscape_mpi.measure.place import Setting
from losscape_mpi.study.load import load_study

SETTING = Setting(torch.device("cpu"))


@pytest.fixture
def problem():
    return problem_of(nn.Linear(4, 3), train=split_of(draw(7, 4), labels(7, 3), available=20))


def built(problem, *names):
    return build_measures([f"own_metrics:{name}" for name in names], problem, {})


def twin(problem):
    """The model in float64; the problem's own stays float32."""
    return copy.deepcopy(problem.model).double()


def names_of(columns):
    return [column.name for column in columns]


def test_a_function_gives_the_mean_of_its_numbers_with_its_error(problem):
    split = problem.splits["train"]
    row = evaluator_of(problem, {}, ["own_metrics:entropy"]).evaluate(0.0)
    with torch.no_grad():
        p = twin(problem)(split.inputs.double()).softmax(dim=1).numpy()
    each = -(p * np.log(p)).sum(axis=1)
    assert_allclose(row[0], each.mean(), rtol=1e-12)
    assert_allclose(row[1], each.std(ddof=1) / np.sqrt(7) * np.sqrt(1 - 7 / 20), rtol=1e-10)
    columns = built(problem, "entropy").columns
    assert names_of(columns) == ["train/entropy", "train/entropy_stderr", "train/nonfinite"]
    assert "own_metrics:entropy" in columns[0].description


def test_a_mapping_gives_a_column_for_each_of_its_names(problem):
    columns = names_of(built(problem, "both").columns)
    assert columns[::2] == ["train/largest", "train/label", "train/nonfinite"]
    row = evaluator_of(problem, {}, ["loss", "own_metrics:both"], batch_size=3).evaluate(0.0)
    with torch.no_grad():
        outputs = twin(problem)(problem.splits["train"].inputs.double())
    assert_allclose(row[2], float(outputs.amax(dim=1).mean()), rtol=1e-12)
    assert_allclose(row[4], float(problem.splits["train"].targets.double().mean()), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("reduced", r"'reduced': \[\]"),
        ("column_vector", r"'column_vector': \[2, 1\]"),
        ("as_list", "'as_list': list"),
        ("complex_numbers", r"'complex_numbers': \[2\]"),
        ("nothing", "nothing, expected at least one number"),
        ("slashed", "'a/b'"),
    ],
)
def test_what_is_no_real_number_for_each_sample_is_refused_on_two_samples(problem, name, found):
    with pytest.raises(UserError, match=f"metric own_metrics:{name} returned {found}") as refusal:
        built(problem, name)
    assert "\n" not in str(refusal.value)


def test_other_names_at_another_batch_are_refused(problem):
    evaluator = evaluator_of(problem, {}, ["own_metrics:moody"], batch_size=7)
    with pytest.raises(UserError, match="moody returned many, expected always the same names: few"):
        evaluator.evaluate(0.0)


@pytest.mark.parametrize("names", [["loss", "own_metrics:loss"], ["own_metrics:loss", "loss"]])
def test_two_metrics_that_give_the_same_column_are_refused_in_one_line(problem, names):
    with pytest.raises(UserError) as refusal:
        build_measures(names, problem, {})
    text = str(refusal.value)
    assert text.startswith(f"metrics: two of {names[0]}, {names[1]} give the column train/loss")
    assert "give one of them another name" in text
    assert "\n" not in text


def test_a_class_gives_what_its_columns_say_in_their_order(problem):
    made = built(problem, "Norms")
    wanted = ["train/weight_norm", "train/first", "train/first_stderr"]
    assert names_of(made.place_columns) == wanted
    assert [column.role for column in made.place_columns] == ["value", "value", "error"]
    (measure,) = made.places
    row = measure.bind(problem, SETTING)(problem.model)
    weight, bias = (p.detach().double().numpy() for p in problem.model.parameters())
    first = problem.splits["train"].inputs.double().numpy() @ weight[0] + bias[0]
    given = [np.linalg.norm(weight), first.mean(), first.std(ddof=1) / np.sqrt(7)]
    assert_allclose(row, given, rtol=1e-5)
    assert row.dtype == np.float64


def test_the_columns_of_places_come_behind_those_of_samples(problem):
    names = ["own_metrics:Norms", "own_metrics:entropy", "loss"]
    made = build_measures(names, problem, {})
    assert made.columns == made.sample_columns + made.place_columns
    assert names_of(made.columns)[::2] == [
        *("train/entropy", "train/loss", "train/nonfinite"),
        "train/first",
    ]
    assert made.sample_names == ["own_metrics:entropy", "loss"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NoColumns", r"without columns\(splits\) or __call__\(model, splits\), expected both"),
        ("NotCallable", r"without columns\(splits\) or __call__\(model, splits\), expected both"),
        ("Silent", r"expected columns\(splits\) to give a list of Column"),
        ("Words", r"expected columns\(splits\) to give a list of Column"),
    ],
)
def test_a_class_that_says_no_columns_or_cannot_be_called_is_refused(problem, name, message):
    with pytest.raises(UserError, match=f"metric own_metrics:{name}: .*{message}"):
        built(problem, name)


@pytest.mark.parametrize(("name", "found"), [("OtherKeys", "first"), ("ARow", "list")])
def test_a_class_that_returns_other_names_than_its_columns_is_refused(problem, name, found):
    (measure,) = built(problem, name).places
    with pytest.raises(
        UserError, match=f"own_metrics:{name} returned .*{found}.*expected a number"
    ):
        measure.bind(problem, SETTING)(problem.model)


def test_a_metric_that_there_is_not_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="did you mean accuracy") as refusal:
        load_study(None, ["metrics=[loss, acuracy]"])
    assert "loss, accuracy, gradient, weights or package.module:callable" in str(refusal.value)
    with pytest.raises(UserError, match="did you mean gradient"):
        load_study(None, ["metrics=[gradients]"])
    with pytest.raises(UserError, match=r"found 'zzz', expected .*module:callable$"):
        load_study(None, ["metrics=[zzz]"])


def test_a_function_that_there_is_not_is_refused_by_name(problem):
    with pytest.raises(UserError, match="own_metrics"):
        built(problem, "no_such_function")
