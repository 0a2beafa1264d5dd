"""The estimator anchors against numpy and scipy, from per-sample values formed one by one."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.interpolate import BarycentricInterpolator
from small_problems import conv_problem, draw, moved, problem_of, random_directions, split_of
from torch import nn

from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.estimators.anchored import AnchoredEvaluator
from losscape_mpi.evaluation.estimators.mean import Evaluator
from losscape_mpi.evaluation.estimators.subset import draw_subsets
from losscape_mpi.measure.build import sample_measures
from losscape_mpi.problem.loss import cross_entropy
from losscape_mpi.study.anchor_grid import anchor_plan
from losscape_mpi.study.evaluation_config import AnchorsConfig
from losscape_mpi.study.grid import Grid, axis

GRID_9x7 = Grid(axis(-1, 1, 9), axis(-0.5, 1, 7))
ROWS, COLUMNS = (0, 2, 4, 6, 8), (0, 3, 6)  # of the anchors at stride 3
ANCHORS = [7 * i + j for i in ROWS for j in COLUMNS]
# The anchors along alpha that a cubic at i uses; along beta there are three, so all are used.
CUBIC = {1: (0, 2, 4, 6), 3: (0, 2, 4, 6), 5: (2, 4, 6, 8), 7: (2, 4, 6, 8)}
CENTER = 30  # (0, 0), which is no anchor of this grid
ESTIMATED = [k for k in range(GRID_9x7.size) if k not in (*ANCHORS, CENTER)]
BETWEEN = (1, 7, 24, 38, 52)  # beside an anchor, on its row, on its column, on none of them
CHOICES = Choices(16, "contiguous", precision="float64")


def config_of(**options):
    return AnchorsConfig(**({"stride": 3, "samples": 20, "tolerance": 1e6} | options))


def pair(
    problem, grid=GRID_9x7, metrics=("loss",), moves=None, choices=CHOICES, threads=1, **options
):
    """The anchored evaluator without its anchors' values, and the plain one."""
    moves = random_directions(problem.model) if moves is None else moves
    given = (problem, moves, sample_measures(metrics, problem), choices)
    found = AnchoredEvaluator(*given, grid, config_of(**options), threads=threads)
    return found, Evaluator(*given)


def anchored(problem, grid=GRID_9x7, anchors=ANCHORS, **options):
    """Both evaluators, the first one with its anchors' values from the second."""
    found, plain = pair(problem, grid, **options)
    found.set_anchors(np.array([plain.evaluate(*grid.point(k)) for k in anchors]))
    return found, plain


def at(evaluator, index, grid=GRID_9x7):
    """The row of a point of the grid."""
    return next(evaluator.evaluate_many([grid.point(index)], [index]))


def rows_at(evaluator, indices):
    """The rows of points of the grid, asked for at once."""
    points = [GRID_9x7.point(k) for k in indices]
    return list(evaluator.evaluate_many(points, indices))


def samples_at(problem, alpha, beta):
    """The loss and the hit of each sample, float64 of shape (2, m)."""
    split = problem.splits["train"]
    with torch.no_grad():
        there = moved(problem.model, random_directions(problem.model), alpha, beta)
        outputs = there(split.inputs.double())
    hits = outputs.argmax(dim=1) == split.targets
    return torch.stack([cross_entropy(outputs, split.targets), hits.double()]).numpy()


def interpolated(at_anchor, index):
    """Values at a point from those at the anchors around it, by scipy."""
    i, j = divmod(index, 7)
    rows = CUBIC.get(i, (i,))
    columns = (j,) if j in COLUMNS else COLUMNS
    along_beta = [
        through(GRID_9x7.beta, columns, [at_anchor[7 * r + c] for c in columns], j) for r in rows
    ]
    return through(GRID_9x7.alpha, rows, along_beta, i)


def through(coordinates, nodes, values, index):
    """The polynomial through values at some nodes of an axis, at another place of it."""
    if len(nodes) == 1:
        return values[0]
    curve = BarycentricInterpolator(coordinates[list(nodes)], np.array(values))
    return curve(coordinates[index])


def by_hand(fine, predicted, predicted_mean, halves, m):
    """The cross-fitted estimate and its standard error, from values of the subset."""
    estimates, variances = [], []
    for k in (0, 1):
        mine, other = halves == k, halves != k
        covariance = np.cov(fine[mine], predicted[mine])
        slope = np.clip(covariance[0, 1] / covariance[1, 1], 0, 1) if covariance[1, 1] else 0.0
        rest = fine - slope * predicted
        share = mine.sum() / m
        mean = share * rest[mine].mean() + (1 - share) * rest[other].mean()
        estimates.append(slope * predicted_mean + mean)
        variances.append(rest[other].var(ddof=1) / other.sum())
    return np.mean(estimates), np.sqrt(sum(variances) / 4 * (1 - len(fine) / m))


def test_anchors_are_the_plain_evaluators_bits():
    problem = conv_problem(count=60)
    found, plain = pair(problem)
    assert list(anchor_plan(GRID_9x7, 3).anchors) == ANCHORS
    for index in ANCHORS:  # before their values were set
        assert at(found, index).tobytes() == at(plain, index).tobytes()


def test_the_center_is_the_plain_evaluators_bits_before_and_after_the_anchors_are_known():
    problem = conv_problem(count=60)
    found, plain = pair(problem)
    assert GRID_9x7.point(CENTER) == (0.0, 0.0)
    assert CENTER not in ANCHORS
    wanted = plain.evaluate(0.0).tobytes()
    assert at(found, CENTER).tobytes() == found.evaluate(0.0).tobytes() == wanted
    found.set_anchors(np.array([at(plain, k) for k in ANCHORS]))
    assert at(found, CENTER).tobytes() == found.evaluate(0.0).tobytes() == wanted


@pytest.mark.parametrize("index", BETWEEN)
def test_a_point_between_is_the_cross_fitted_estimate_of_its_samples(index):
    problem, m = conv_problem(count=60), 60  # of 120 that the split has
    found, _ = anchored(problem, metrics=("loss", "accuracy"))
    subset = draw_subsets(problem, {"train": 20}, 0)["train"]

    row = at(found, index)

    at_anchor = {k: samples_at(problem, *GRID_9x7.point(k)) for k in ANCHORS}
    everything = samples_at(problem, *GRID_9x7.point(index))  # (2, m)
    for k in range(2):  # loss, accuracy
        values = {a: samples[k] for a, samples in at_anchor.items()}
        predicted, fine = interpolated(values, index), everything[k][subset.samples]
        estimate, error = by_hand(
            fine, predicted[subset.samples], predicted.mean(), subset.halves, m
        )
        sampling = np.sqrt(fine.var(ddof=1) / m * (1 - m / 120))
        assert_allclose(row[2 * k], estimate, rtol=1e-9)
        assert_allclose(row[2 * k + 1], np.hypot(error, sampling), rtol=1e-7)
    assert row[-1] == 0


def test_estimates_are_near_the_means_that_they_stand_for():
    found, plain = anchored(conv_problem(count=200), samples=60)
    got, want = (np.array(rows_at(e, ESTIMATED)) for e in (found, plain))
    assert (got[:, 0] != want[:, 0]).all()
    # Both errors hold the sampling of the split; the difference is what the estimate adds.
    own = np.sqrt(got[:, 1] ** 2 - want[:, 1].min() ** 2)
    assert (abs(got[:, 0] - want[:, 0]) <= 2 * own).mean() >= 0.9
    assert np.median(abs(got[:, 0] - want[:, 0]) / want[:, 0]) < 0.02


def test_a_subset_of_all_samples_gives_their_mean():
    found, plain = anchored(conv_problem(count=30), samples=30)
    for index in BETWEEN:
        assert_allclose(at(found, index), at(plain, index), rtol=1e-12)


def test_a_point_depends_on_itself_alone():
    problem = conv_problem(count=60)
    first, second = (anchored(problem)[0] for _ in range(2))
    forward = [row.tobytes() for row in rows_at(first, [1, 24, 38])]
    backward = [at(second, index).tobytes() for index in (38, 24, 1)]
    assert forward == backward[::-1]


def test_threads_take_points_of_their_own_and_change_no_bit():
    problem, everywhere = conv_problem(count=60), list(range(GRID_9x7.size))
    tolerance = 0.03  # some points fall back in between
    one, two = (anchored(problem, threads=n, tolerance=tolerance)[0] for n in (1, 2))
    assert (one.group, two.group) == (1, 2)
    wanted = [at(one, index).tobytes() for index in everywhere]
    assert [row.tobytes() for row in rows_at(two, everywhere)] == wanted
    assert [row.tobytes() for row in rows_at(two, everywhere[::-1])] == wanted[::-1]


def test_points_whose_error_is_above_the_tolerance_are_evaluated_in_full():
    problem = conv_problem(count=60)
    loose, plain = anchored(problem)
    estimates = np.array(rows_at(loose, ESTIMATED))
    # The sampling of the split, which no full evaluation removes, does not count.
    problem.splits["train"] = split_of(*_tensors(problem))
    own = np.array(rows_at(anchored(problem)[0], ESTIMATED))
    tolerance = float(np.median(own[:, 1] / own[:, 0]))
    is_rough = own[:, 1] > tolerance * own[:, 0]

    found, plain = anchored(conv_problem(count=60), tolerance=tolerance)

    for index, estimate, rough in zip(ESTIMATED, estimates, is_rough, strict=True):
        wanted = at(plain, index) if rough else estimate
        assert at(found, index).tobytes() == wanted.tobytes()
    assert 0 < is_rough.sum() < len(ESTIMATED)


def _tensors(problem):
    return problem.splits["train"].inputs, problem.splits["train"].targets


class Broken(nn.Module):
    """Infinite where w > 0.9, which is at the last alpha only."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.02))

    def forward(self, x):
        return torch.where(self.w > 0.9, torch.inf, torch.tanh(3 * (x + self.w)))


BROKEN = {"alpha": {"w": torch.tensor(1.0)}, "beta": {"w": torch.tensor(0.1)}}


def test_points_beside_an_anchor_that_is_not_finite_are_evaluated_in_full():
    split = split_of(draw(40, 1), torch.zeros(40))
    problem = problem_of(Broken(), lambda outputs, targets: outputs[:, 0].abs(), train=split)
    found, plain = anchored(problem, moves=BROKEN)
    table = [at(plain, k)[0] for k in ANCHORS]
    assert [bool(np.isinf(value)) for value in table] == [k >= 7 * 8 for k in ANCHORS]

    rows = {k: at(found, k) for k in range(GRID_9x7.size)}

    full = {k for k, row in rows.items() if row.tobytes() == at(plain, k).tobytes()}
    spoiled = {k for k in range(GRID_9x7.size) if k // 7 in (5, 7, 8)}
    assert full == spoiled | set(ANCHORS) | {CENTER}
    assert all(np.isfinite(rows[k][0]) for k in rows if k // 7 < 8)
    assert all(rows[k][0] == np.inf and rows[k][-1] == 40 for k in rows if k // 7 == 8)


def test_a_nan_among_the_anchors_values_is_no_estimate_either():
    problem = conv_problem(count=60)
    found, plain = pair(problem)
    table = np.array([at(plain, k) for k in ANCHORS])
    table[0, 0] = np.nan  # at (-1, -0.5)
    found.set_anchors(table)
    beside, far = 1, 5 * 7 + 1
    assert at(found, beside).tobytes() == at(plain, beside).tobytes()
    assert at(found, far).tobytes() != at(plain, far).tobytes()


def test_a_point_between_needs_its_anchors_first():
    found, _ = pair(conv_problem(count=60))
    with pytest.raises(RuntimeError, match="point 1 was asked for before its anchors"):
        at(found, 1)


def test_what_is_no_grid_point_is_evaluated_in_full():
    found, plain = anchored(conv_problem(count=60))
    # The places of a path have no index, even where one lies on a point of the grid.
    for point in ((0.0123, 0.4), GRID_9x7.point(1)):
        assert found.evaluate(*point).tobytes() == plain.evaluate(*point).tobytes()
    assert found.evaluate(*GRID_9x7.point(1)).tobytes() != at(found, 1).tobytes()


def test_a_profile_is_interpolated_along_its_only_axis():
    problem = conv_problem(count=60)
    moves = {"alpha": random_directions(problem.model)["alpha"]}
    grid = Grid(axis(-1, 1, 9), np.zeros(1))
    found, plain = anchored(problem, grid, ROWS, moves=moves)
    for index in ROWS:
        assert at(found, index, grid).tobytes() == at(plain, index, grid).tobytes()
    subset = draw_subsets(problem, {"train": 20}, 0)["train"]
    at_anchor = [samples_at(problem, grid.alpha[k], 0.0)[0] for k in CUBIC[3]]
    predicted = through(grid.alpha, CUBIC[3], at_anchor, 3)
    fine = samples_at(problem, grid.alpha[3], 0.0)[0]
    given = (fine[subset.samples], predicted[subset.samples], predicted.mean())
    estimate, _ = by_hand(*given, subset.halves, 60)
    assert_allclose(at(found, 3, grid)[0], estimate, rtol=1e-9)


def test_two_splits_have_columns_of_their_own():
    problem = conv_problem(count=60)
    test = split_of(draw(40, 3, 6, 5, seed=7), torch.zeros(40, dtype=torch.long) + 2)
    alone = problem_of(problem.model, test=test)
    both = problem_of(problem.model, train=problem.splits["train"], test=test)
    parts = [at(anchored(p, metrics=("loss", "accuracy"))[0], 24) for p in (problem, alone)]
    joint = at(anchored(both, metrics=("loss", "accuracy"))[0], 24)
    assert joint.tobytes() == np.concatenate(parts).tobytes()


def test_low_precision_is_that_of_anchors_and_points_between():
    problem = conv_problem(count=60)
    choices = Choices(16, "contiguous", precision="bfloat16")
    found, plain = anchored(problem, choices=choices)
    exact, _ = anchored(problem, choices=Choices(16, "contiguous", precision="float32"))
    for index in (0, 24):
        got, want = (at(e, index)[0] for e in (found, exact))
        assert got != want
        assert_allclose(got, want, rtol=0.05)
    point = GRID_9x7.point(0)
    assert found.exact.evaluate(*point).tobytes() == plain.evaluate(*point).tobytes()


def test_a_sign_of_life_comes_with_every_anchor():
    found, plain = anchored(conv_problem(count=60))
    table = np.array([at(plain, k) for k in ANCHORS])
    calls = []
    found.set_anchors(table, lambda: calls.append(None))
    assert len(calls) == len(ANCHORS)
