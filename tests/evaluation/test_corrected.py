"""The two-level estimator against numbers computed by numpy from the samples' own values."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from low_precision_problems import axes, losses_at, shifted_problem
from numpy.testing import assert_allclose
from small_problems import conv_problem, labels, problem_of, random_directions, split_of
from torch import nn

from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.estimators.corrected import SEED, CorrectedEvaluator
from losscape_mpi.evaluation.estimators.mean import Evaluator
from losscape_mpi.measure.accuracy import Accuracy
from losscape_mpi.measure.build import sample_measures
from losscape_mpi.measure.loss import Loss
from losscape_mpi.problem.data.split import seeded_bits

POINT = (0.5, -0.25)
GENEROUS = 1e6


def choices_of(count, tolerance=GENEROUS, precision="bfloat16"):
    return Choices(64, "contiguous", precision=precision, correction=count, tolerance=tolerance)


def both(problem, count, tolerance=GENEROUS, precision="bfloat16", metrics=("loss",), moves=None):
    """The corrected evaluator and the one in float32 whose place it takes."""
    moves = axes() if moves is None else moves
    measures = sample_measures(metrics, problem)
    chosen = choices_of(count, tolerance, precision)
    corrected = CorrectedEvaluator(problem, moves, measures, chosen)
    return corrected, Evaluator(problem, moves, measures, Choices(64, "contiguous"))


def by_hand(problem, count, point):
    """The estimate from the largest half and a random half, and its error for the whole split."""
    low, exact = losses_at(problem, *point, low=True), losses_at(problem, *point)
    m, certain = len(low), np.argsort(-low, kind="stable")[: count // 2]
    order = np.argsort(seeded_bits(SEED, "subset/train").random_raw(m), kind="stable")
    drawn = [k for k in order if k not in certain][: count - len(certain)]
    apart, rest = exact - low, m - len(certain)
    value = low.mean() + (apart[certain].sum() + rest * apart[drawn].mean()) / m
    error = apart[drawn].std(ddof=1) / np.sqrt(len(drawn)) * np.sqrt(1 - len(drawn) / rest)
    available = problem.splits["train"].available
    sampling = low.std(ddof=1) / np.sqrt(m) * np.sqrt(1 - m / available)
    return value, np.hypot(rest / m * error, sampling)


@pytest.mark.parametrize("available", [300, 500])
def test_the_estimate_and_its_error_are_those_of_the_formula(available):
    problem = shifted_problem(available=available, shift=0.5, slope=0.25)

    got = both(problem, 40)[0].evaluate(*POINT)

    assert_allclose(got[:2], by_hand(problem, 40, POINT), rtol=1e-6)
    assert got[2] == 0


def test_a_shift_that_all_samples_share_is_corrected_without_any_error():
    corrected, exact = both(shifted_problem(shift=0.5), 8, tolerance=1e-6)
    got, wanted = corrected.evaluate(*POINT), exact.evaluate(*POINT)
    assert_allclose(got[0], wanted[0], rtol=1e-6)
    assert got[1] < 1e-7


def test_the_estimate_is_exact_where_the_subset_is_everything():
    corrected, exact = both(shifted_problem(shift=0.5, slope=2.0), 300, tolerance=1e-12)
    for point in ((0.0, 0.0), POINT, (1.0, 1.0)):
        got, wanted = corrected.evaluate(*point), exact.evaluate(*point)
        assert_allclose(got, wanted, rtol=1e-12)
        assert got[1] == 0


def test_a_correction_larger_than_a_split_takes_all_of_it():
    problem = shifted_problem(count=20, slope=2.0)
    corrected, exact = both(problem, 64)
    assert_allclose(corrected.evaluate(*POINT), exact.evaluate(*POINT), rtol=1e-12)


def test_the_mean_over_many_subsets_is_the_value_in_float32(monkeypatch):
    problem = shifted_problem(count=100, slope=1.0)
    values, errors = [], []
    for seed in range(200):
        monkeypatch.setattr("losscape_mpi.evaluation.estimators.corrected.SEED", seed)
        value, error, _ = both(problem, 20)[0].evaluate(*POINT)
        values.append(value)
        errors.append(error)
    truth = losses_at(problem, *POINT).mean()
    spread = np.std(values, ddof=1)
    assert abs(np.mean(values) - truth) < 3 * spread / np.sqrt(200)
    assert_allclose(np.sqrt(np.mean(np.square(errors))), spread, rtol=0.2)
    # Low precision alone is far away: what is corrected is no rounding error.
    assert abs(losses_at(problem, *POINT, low=True).mean() - truth) > 3 * spread


@pytest.mark.parametrize(("factor", "is_float32"), [(0.99, True), (1.01, False)])
def test_float32_takes_over_where_three_standard_errors_exceed_the_tolerance(factor, is_float32):
    problem = shifted_problem(slope=0.25)
    value, error = by_hand(problem, 40, POINT)

    corrected, exact = both(problem, 40, tolerance=factor * 3 * error / abs(value))

    same = corrected.evaluate(*POINT).tobytes() == exact.evaluate(*POINT).tobytes()
    assert same == is_float32


def test_which_points_are_float32_depends_on_the_point_alone():
    problem = shifted_problem(slope=0.25)
    points = [(x, y) for x in (-1.0, -0.5, 0.0) for y in (0.5, 1.0)]  # where the loss is small
    corrected, exact = both(problem, 40, tolerance=0.03)

    rows = [row.tobytes() for row in corrected.evaluate_many(points)]

    switched = [row == exact.evaluate(*p).tobytes() for row, p in zip(rows, points, strict=True)]
    assert 0 < sum(switched) < len(points)
    again = both(problem, 40, tolerance=0.03)[0]
    assert [again.evaluate(*p).tobytes() for p in reversed(points)] == rows[::-1]


class Large(nn.Module):
    """Logits that float16, whose largest number is 65504, cannot hold."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        with torch.no_grad():
            self.linear.weight.copy_(1e5 * torch.eye(3, 4))

    def forward(self, x):
        return self.linear(x)


def test_float32_takes_over_where_low_precision_overflows():
    model = Large()
    inputs = torch.eye(4).repeat(10, 1)
    problem = problem_of(model, train=split_of(inputs, labels(40, 3)))
    moves = random_directions(model)
    low = Evaluator(problem, moves, [Loss()], Choices(64, "contiguous", precision="float16"))
    assert low.evaluate(0.0, 0.0)[-1] > 0  # samples that are not finite

    corrected, exact = both(problem, 8, precision="float16", moves=moves)

    wanted = exact.evaluate(0.5, 0.5)
    assert np.isfinite(wanted).all()
    assert corrected.evaluate(0.5, 0.5).tobytes() == wanted.tobytes()


def test_float32_takes_over_where_outputs_overflow_but_losses_do_not():
    model = Large()
    with torch.no_grad():
        model.linear.weight.mul_(-0.3)  # minus infinity for a class that is not the sample's
    targets = torch.arange(1, 4).repeat(10) % 3
    problem = problem_of(model, train=split_of(4 * torch.eye(3, 4).repeat(10, 1), targets))
    moves = random_directions(model)
    low = Evaluator(problem, moves, [Loss()], Choices(64, "contiguous", precision="float16"))
    assert np.isfinite(low.evaluate(0.0, 0.0)[:2]).all()

    corrected, exact = both(problem, 8, precision="float16", moves=moves)

    wanted = exact.evaluate(0.0, 0.0)
    assert wanted[-1] == 0
    assert corrected.evaluate(0.0, 0.0).tobytes() == wanted.tobytes()


def test_values_that_are_not_finite_in_float32_are_kept():
    model = Large()
    problem = problem_of(model, train=split_of(torch.full((40, 4), 1e35), labels(40, 3)))
    corrected, exact = both(problem, 8, moves=random_directions(model))
    wanted = exact.evaluate(0.0, 0.0)
    assert wanted[-1] > 0
    assert corrected.evaluate(0.0, 0.0).tobytes() == wanted.tobytes()


def test_a_genuine_network_gets_its_values_in_float32_within_the_standard_errors():
    problem = conv_problem(count=200)
    whole = replace(problem.splits["train"], available=200)  # no error but the correction's
    problem = replace(problem, splits={"train": whole})
    moves = random_directions(problem.model)
    corrected, exact = both(problem, 64, metrics=("loss", "accuracy"), moves=moves)
    for point in ((0.0, 0.0), (0.25, 0.5), (-0.5, 0.125)):
        got, wanted = corrected.evaluate(*point), exact.evaluate(*point)
        assert 0 < abs(got[0] - wanted[0]) <= 3 * got[1] < 0.01 * wanted[0]
        assert abs(got[2] - wanted[2]) <= 0.005


def test_the_points_of_one_call_are_those_of_many():
    problem = conv_problem(count=200)
    corrected, _ = both(problem, 64, moves=random_directions(problem.model))
    points = [(0.0, 0.0), (0.5, -0.5), (0.0, 0.0)]
    rows = [row.tobytes() for row in corrected.evaluate_many(points)]
    assert rows == [corrected.evaluate(*point).tobytes() for point in points]
    assert rows[0] == rows[2]


def test_threads_take_points_of_their_own_and_change_no_bit():
    problem = shifted_problem(slope=0.25)
    points = [(x, y) for x in (-1.0, -0.5, 0.0) for y in (0.5, 1.0)]
    choices = replace(choices_of(40, 0.03), batch_size=300)
    one, two = (
        CorrectedEvaluator(problem, axes(), [Loss()], choices, threads=threads)
        for threads in (1, 2)
    )
    assert (one.group, two.group) == (1, 2)
    wanted = [one.evaluate(*point).tobytes() for point in points]
    assert [row.tobytes() for row in two.evaluate_many(points)] == wanted


def test_a_profile_has_one_coordinate():
    problem = shifted_problem(slope=0.25)
    moves = {"alpha": axes()["alpha"]}
    corrected, _ = both(problem, 40, moves=moves)
    assert_allclose(corrected.evaluate(0.5)[:2], by_hand(problem, 40, (0.5, 0.0)), rtol=1e-6)


def test_the_data_of_the_problem_stay_as_they_were():
    problem = shifted_problem(slope=0.25)
    before = problem.splits["train"].inputs.clone(), problem.splits["train"].targets.clone()
    both(problem, 40)[0].evaluate(*POINT)
    assert torch.equal(problem.splits["train"].inputs, before[0])
    assert torch.equal(problem.splits["train"].targets, before[1])


def test_layers_that_do_not_move_are_computed_for_the_samples_of_each_point():
    problem = conv_problem(count=200)
    moves = random_directions(problem.model)
    last = list(dict(problem.model.named_parameters()))[-2:]
    moves = {axis: {name: step[name] for name in last} for axis, step in moves.items()}
    points = [(0.0, 0.0), (0.5, -0.5), (-0.5, 0.25)]
    rows = []
    for fused in (False, True):
        choices = replace(choices_of(64), fused=fused)
        evaluator = CorrectedEvaluator(problem, moves, [Loss(), Accuracy()], choices)
        rows.append([evaluator.evaluate(*point) for point in points])
    assert_allclose(rows[1], rows[0], rtol=5e-3)
