from typing import get_args

import pytest
import torch
from losscape_mpi.evaluation.metrics import (
    METRICS,
    Outcome,
    sample_hits,
    sample_losses,
    sample_margins,
)

from losscape_mpi.errors import UserError
from losscape_mpi.study.config import Study


def outcome_of(outputs, targets):
    outputs, targets = torch.tensor(outputs), torch.tensor(targets)
    finite = torch.isfinite(outputs).flatten(1).all(dim=1)
    return Outcome(outputs, targets, torch.zeros(len(targets), dtype=torch.float64), finite)


def test_a_hit_is_a_largest_output_at_the_label():
    outputs = [[0.1, 0.9, 0.0], [0.1, 0.9, 0.0], [-1.0, -3.0, -2.0], [0.0, 0.0, 1.0]]
    hits = sample_hits(outcome_of(outputs, [1, 0, 0, 2]))
    assert hits.tolist() == [1.0, 0.0, 1.0, 1.0]
    assert hits.dtype == torch.float64


def test_a_sample_with_an_output_that_is_not_finite_is_wrong():
    inf, nan = float("inf"), float("nan")
    outputs = [[inf, 0.0], [0.0, nan], [1.0, -inf], [1.0, 0.0]]
    assert sample_hits(outcome_of(outputs, [0, 0, 0, 0])).tolist() == [0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("outputs", [[0.2, -0.7], [[0.2], [-0.7]], [[[0.1, 0.2]], [[0.3, 0.4]]]])
def test_accuracy_without_one_output_for_each_class_is_refused(outputs):
    outputs = torch.tensor(outputs)
    finite = torch.ones(2, dtype=torch.bool)
    outcome = Outcome(outputs, torch.tensor([0, 1]), torch.zeros(2), finite)
    with pytest.raises(UserError, match=r"accuracy.*metrics: \[loss\]"):
        sample_hits(outcome)


def test_losses_are_passed_on_as_they_are():
    losses = torch.tensor([1.0, float("nan"), -float("inf"), -2.0], dtype=torch.float64)
    finite = torch.ones(4, dtype=torch.bool)
    outcome = Outcome(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64), losses, finite)
    assert sample_losses(outcome) is losses


def test_every_metric_that_a_study_may_name_exists():
    (names, *_) = get_args(Study.model_fields["metrics"].annotation)
    assert set(get_args(names)) == set(METRICS)


def test_the_margin_is_that_of_the_label_to_the_largest_other():
    outputs = [[1.0, 4.0, 2.5], [1.0, 4.0, 2.5], [-3.0, -3.0, -3.5]]
    margins = sample_margins(outcome_of(outputs, [1, 2, 0]))
    assert margins.tolist() == [1.5, 1.5, 0.0]
    assert margins.dtype == torch.float64


def test_labels_that_are_no_class_have_a_margin():
    # A loss of the user's own may leave such samples out.
    assert torch.isfinite(sample_margins(outcome_of([[1.0, 4.0], [0.0, 2.0]], [-100, 2]))).all()
