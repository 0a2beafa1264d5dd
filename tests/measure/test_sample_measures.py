"""Loss, accuracy and margin of single samples, from numbers written down here."""

import pytest
import torch
from small_problems import draw, labels, problem_of, split_of
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.measure import build
from losscape_mpi.measure.accuracy import Accuracy
from losscape_mpi.measure.loss import Loss
from losscape_mpi.measure.sample import Margin, Outcome
from losscape_mpi.problem.loss import mse
from losscape_mpi.study.measures import MEASURES


def outcome_of(outputs, targets):
    outputs, targets = torch.tensor(outputs), torch.tensor(targets)
    finite = torch.isfinite(outputs).flatten(1).all(dim=1)
    return Outcome(outputs, targets, torch.zeros(len(targets), dtype=torch.float64), finite)


def values_of(measure, outcome):
    """The only number of each sample."""
    (values,) = measure.values(outcome)
    assert values.dtype == torch.float64
    return values


def test_a_hit_is_a_largest_output_at_the_label():
    outputs = [[0.1, 0.9, 0.0], [0.1, 0.9, 0.0], [-1.0, -3.0, -2.0], [0.0, 0.0, 1.0]]
    hits = values_of(Accuracy(), outcome_of(outputs, [1, 0, 0, 2]))
    assert hits.tolist() == [1.0, 0.0, 1.0, 1.0]


def test_a_sample_with_an_output_that_is_not_finite_is_wrong():
    inf, nan = float("inf"), float("nan")
    outputs = [[inf, 0.0], [0.0, nan], [1.0, -inf], [1.0, 0.0]]
    hits = values_of(Accuracy(), outcome_of(outputs, [0, 0, 0, 0]))
    assert hits.tolist() == [0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("outputs", [[0.2, -0.7], [[0.2], [-0.7]], [[[0.1, 0.2]], [[0.3, 0.4]]]])
def test_accuracy_without_one_output_for_each_class_is_refused(outputs):
    outputs = torch.tensor(outputs)
    finite = torch.ones(2, dtype=torch.bool)
    outcome = Outcome(outputs, torch.tensor([0, 1]), torch.zeros(2), finite)
    with pytest.raises(UserError, match=r"accuracy.*metrics: \[loss\]"):
        Accuracy().values(outcome)


def test_losses_are_passed_on_as_they_are():
    losses = torch.tensor([1.0, float("nan"), -float("inf"), -2.0], dtype=torch.float64)
    finite = torch.ones(4, dtype=torch.bool)
    outcome = Outcome(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64), losses, finite)
    assert values_of(Loss(), outcome).numpy().tobytes() == losses.numpy().tobytes()


def test_the_margin_is_that_of_the_label_to_the_largest_other():
    outputs = [[1.0, 4.0, 2.5], [1.0, 4.0, 2.5], [-3.0, -3.0, -3.5]]
    margins = values_of(Margin(), outcome_of(outputs, [1, 2, 0]))
    assert margins.tolist() == [1.5, 1.5, 0.0]


def test_labels_that_are_no_class_have_a_margin():
    # A loss of the user's own may leave such samples out.
    outcome = outcome_of([[1.0, 4.0], [0.0, 2.0]], [-100, 2])
    assert torch.isfinite(values_of(Margin(), outcome)).all()


def linear_problem(**more):
    train = split_of(draw(6, 4), labels(6, 3), available=9)
    return problem_of(nn.Linear(4, 3), train=train, **more)


def test_every_measure_that_a_study_may_name_exists_and_says_columns():
    directions = {"alpha": {"weight": torch.ones(3, 4)}}
    for name in MEASURES:
        made = build.build_measures([name], linear_problem(), directions)
        assert len(made.samples) + len(made.places) == 1
        results = [column for column in made.columns if column.role == "value"]
        assert results, name
        assert all(column.description for column in results), name


def test_a_row_has_each_mean_with_its_error_then_the_count_split_by_split():
    problem = linear_problem(test=split_of(draw(5, 4), labels(5, 3)))
    columns = build.build_measures(["accuracy", "loss"], problem, {}).columns
    means = ["accuracy", "accuracy_stderr", "loss", "loss_stderr", "nonfinite"]
    names = [f"{split}/{mean}" for split in ("train", "test") for mean in means]
    assert [column.name for column in columns] == names
    assert [column.role for column in columns[:5]] == ["value", "error", "value", "error", "count"]
    assert [column.of for column in columns[:4]] == ["", "train/accuracy", "", "train/loss"]
    assert [column.is_share for column in columns[:5]] == [True, False, False, False, False]
    assert [c.comparison for c in columns[:4]] == ["absolute", "absolute", "relative", "relative"]


def test_accuracy_of_floating_targets_is_refused_where_measures_are_built():
    problem = problem_of(nn.Linear(4, 2), mse, train=split_of(draw(5, 4), draw(5, 2)))
    with pytest.raises(UserError, match=r"accuracy needs class labels.*metrics: \[loss\]"):
        build.build_measures(["loss", "accuracy"], problem, {})
