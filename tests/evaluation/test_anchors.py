import itertools
import math

import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.estimators.anchors import (
    add_sampling_error,
    cross_fitted,
    draw_subset,
    is_uncertain,
    needs_full,
    plain,
    predict,
)
from losscape_mpi.problem.data.split import choose_samples, seeded_bits
from losscape_mpi.study.anchor_grid import anchor_plan
from losscape_mpi.study.config import DataConfig
from losscape_mpi.study.grid import Grid, axis

GRID_7x5 = Grid(axis(-1, 1, 7), axis(-1, 1, 5))


def population(num=7, seed=1):
    """Return skewed values l and predictions p of a whole population, correlated but not equal."""
    generator = np.random.default_rng(seed)
    values = generator.exponential(1, num) ** 2
    return values, 0.6 * values + generator.normal(0, 0.4, num)


def every_draw(num, count):
    """Yield every subset of `count` out of `num`, with every way to halve it."""
    for samples in itertools.combinations(range(num), count):
        for half in itertools.combinations(range(count), count // 2):
            halves = np.zeros(count, dtype=np.int64)
            halves[list(half)] = 1
            yield np.array(samples), halves


def quadratic_problem(num=600, dim=6, spread=0.7):
    """Return l_i at every point of GRID_7x5, shape (35, num), and the standard deviation of
    l_i(x) - l_i(0), which is spread * |H A x| (shape (35,)).

    l_i(theta) = (theta - a_i)' H (theta - a_i) / 2 with a_i ~ N(0, spread^2 I).
    """
    generator = np.random.default_rng(3)
    root = generator.normal(size=(dim, dim))
    hessian, plane = root @ root.T, generator.normal(size=(dim, 2))
    centers = generator.normal(0, spread, (num, dim))
    shift = np.array([plane @ GRID_7x5.point(k) for k in range(GRID_7x5.size)])  # (35, dim)
    apart = shift[:, None, :] - centers[None]  # (35, num, dim)
    losses = 0.5 * np.einsum("xid,de,xie->xi", apart, hessian, apart)
    return losses, spread * np.linalg.norm(shift @ hessian, axis=1)


def estimates(function, values, predicted, count, num_seeds):
    """Return estimates and standard errors over many subsets, each of shape (num_seeds,)."""
    found = []
    for seed in range(num_seeds):
        subset = draw_subset(np.random.PCG64(seed), len(values), count)
        arguments = [values[subset.samples], predicted[subset.samples], predicted.mean()]
        halves = (subset.halves,) if function is cross_fitted else ()
        found.append(function(*arguments, len(values), *halves))
    return np.array(found).T


def test_mean_of_the_interpolated_samples_is_the_interpolated_mean():
    values = np.random.default_rng(0).exponential(3, (GRID_7x5.size, 1000))
    plan = anchor_plan(GRID_7x5, 2)
    for index in range(GRID_7x5.size):
        positions, weights = plan.stencil(index)
        at_anchors = values[plan.anchors[positions]]  # (k, 1000)
        mean = float(predict(weights, at_anchors.mean(axis=1)))
        assert abs(predict(weights, at_anchors).mean() - mean) < 1e-12


def test_prediction_is_the_weighted_sum_in_float64_of_float32_values():
    values = np.array([[1e-3, 2], [1, 16777216], [5, 1]], dtype=np.float32)
    found = predict(np.array([0.1, 0.7, 0.2]), values)
    expected = [
        math.fsum(w * float(v) for w, v in zip((0.1, 0.7, 0.2), column, strict=True))
        for column in values.T
    ]
    assert found.dtype == np.float64
    assert np.allclose(found, expected, rtol=1e-15)


def test_both_estimates_have_no_bias_at_all():
    values, predicted = population()
    found = np.array(
        [
            (
                plain(values[s], predicted[s], predicted.mean(), 7)[0],
                cross_fitted(values[s], predicted[s], predicted.mean(), 7, halves)[0],
            )
            for s, halves in every_draw(7, 4)
        ]
    )
    assert len(found) == 35 * 6
    assert np.ptp(found, axis=0).min() > 0.1
    assert np.allclose(found.mean(axis=0), values.mean(), rtol=1e-13)


def test_plain_estimate_states_its_variance_without_bias():
    values, predicted = population()
    found = np.array(
        [plain(values[s], predicted[s], predicted.mean(), 7) for s, _ in every_draw(7, 4)]
    )
    assert np.isclose(found[:, 0].var(), (found[:, 1] ** 2).mean(), rtol=1e-12)


@pytest.mark.parametrize("count", [7, 8, 500])
def test_all_samples_give_their_mean_and_an_error_of_zero(count):
    values, predicted = population(count)
    halves = np.arange(count) % 2
    for estimate, error in (
        plain(values, predicted, predicted.mean(), count),
        cross_fitted(values, predicted, predicted.mean(), count, halves),
    ):
        assert np.isclose(estimate, values.mean(), rtol=1e-13)
        assert error == 0


@pytest.mark.parametrize("function", [plain, cross_fitted])
def test_the_stated_error_is_the_spread_over_subsets_and_covers(function):
    values, predicted = population(2000)
    found, errors = estimates(function, values, predicted, 200, 1000)
    assert abs(found.mean() - values.mean()) < 4 * found.std() / math.sqrt(1000)
    assert np.isclose(np.sqrt((errors**2).mean()), found.std(), rtol=0.08)
    assert 0.9 <= (abs(found - values.mean()) <= 2 * errors).mean() <= 0.99


def test_good_anchors_shrink_the_error_as_their_residual_does():
    values, _ = population(2000)
    predicted = values + np.random.default_rng(5).normal(0, 0.1, 2000)
    found, errors = estimates(cross_fitted, values, predicted, 200, 300)
    alone = values.std() / math.sqrt(200) * math.sqrt(1 - 0.1)
    expected = 0.1 / math.sqrt(200) * math.sqrt(1 - 0.1)
    assert expected < alone / 10
    assert np.isclose(errors.mean(), expected, rtol=0.1)
    assert np.isclose(found.std(), expected, rtol=0.15)


@pytest.mark.parametrize("factor", [-3.0, 0.0])
def test_anchors_that_hurt_are_left_out(factor):
    values, _ = population(2000)
    predicted = factor * values + np.random.default_rng(5).normal(0, 40, 2000)
    mean_alone = values.std() / math.sqrt(200) * math.sqrt(1 - 0.1)
    hurt, _ = estimates(plain, values, predicted, 200, 300)
    found, errors = estimates(cross_fitted, values, predicted, 200, 300)
    assert hurt.std() > 5 * mean_alone
    assert found.std() < 1.1 * mean_alone
    assert np.isclose(errors.mean(), mean_alone, rtol=0.15)


@pytest.mark.parametrize("predicted", [np.full(40, 3.0), -np.linspace(0, 5, 40)])
def test_useless_predictions_leave_the_mean_of_the_subset(predicted):
    fine = np.linspace(0, 5, 40) ** 2
    estimate, error = cross_fitted(fine, predicted, 17.0, 1000, np.arange(40) % 2)
    assert np.isclose(estimate, fine.mean(), rtol=1e-14)
    halves = [fine[k::2].var(ddof=1) / 20 for k in (0, 1)]
    assert np.isclose(error, math.sqrt(sum(halves) / 4 * (1 - 0.04)), rtol=1e-14)


def test_trust_above_one_is_cut():
    predicted = np.linspace(0, 1, 40)
    halves = np.arange(40) % 2
    found = cross_fitted(5 * predicted, predicted, 0.4, 1000, halves)
    expected = plain(5 * predicted, predicted, 0.4, 1000)
    assert np.isclose(found[0], expected[0], rtol=1e-14)


def test_interpolation_of_a_quadratic_problem_is_exact_from_few_samples():
    losses, _ = quadratic_problem()
    plan = anchor_plan(GRID_7x5, 2)
    subset = draw_subset(np.random.PCG64(0), 600, 30)
    for index in set(range(GRID_7x5.size)) - set(plan.anchors.tolist()):
        positions, weights = plan.stencil(index)
        at_anchors = losses[plan.anchors[positions]]
        predicted = predict(weights, at_anchors[:, subset.samples])
        mean = float(predict(weights, at_anchors.mean(axis=1)))
        fine = losses[index, subset.samples]
        estimate, error = plain(fine, predicted, mean, 600)
        assert np.isclose(estimate, losses[index].mean(), rtol=1e-12)
        assert error < 1e-12 * estimate


def test_with_the_center_as_the_one_anchor_the_error_is_that_of_the_closed_form():
    losses, deviation = quadratic_problem(num=20_000)
    subset = draw_subset(np.random.PCG64(0), 20_000, 5_000)
    at_center = losses[GRID_7x5.size // 2]
    for index in (0, 4, 12, 33):
        _, error = plain(
            losses[index, subset.samples], at_center[subset.samples], at_center.mean(), 20_000
        )
        expected = deviation[index] / math.sqrt(5_000) * math.sqrt(0.75)
        assert np.isclose(error, expected, rtol=0.05)


def test_errors_of_the_quadratic_problem_cover():
    losses, _ = quadratic_problem()
    at_center = losses[GRID_7x5.size // 2]
    for index in (0, 8, 33):
        for function in (plain, cross_fitted):
            found, errors = estimates(function, losses[index], at_center, 60, 400)
            covered = abs(found - losses[index].mean()) <= 2 * errors
            assert covered.mean() >= 0.9


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_anything_not_finite_asks_for_the_full_point(bad):
    means, values, fine = np.ones(3), np.ones((3, 5), dtype=np.float32), np.zeros(5)
    assert not needs_full(means, values, fine)
    for k in range(3):
        arrays = [means.copy(), values.copy(), fine.copy()]
        arrays[k].flat[2] = bad
        assert needs_full(*arrays)
    assert needs_full(bad)


def test_a_value_not_finite_never_gives_a_finite_estimate():
    values, predicted = population(40)
    halves = np.arange(40) % 2
    for k in (0, 1):
        arrays = [values.copy(), predicted.copy()]
        arrays[k][3] = np.nan
        assert needs_full(cross_fitted(*arrays, 1.0, 100, halves)[0])
        assert needs_full(plain(*arrays, 1.0, 100)[0])


@pytest.mark.parametrize(
    ("estimate", "error", "expected"),
    [
        (-2.0, 0.1, False),
        (2.0, 0.11, True),
        (0.0, 0.0, False),
        (0.0, 1e-9, True),
        (np.nan, 0.1, True),
        (1.0, np.nan, True),
    ],
)
def test_a_point_is_uncertain_above_the_tolerance(estimate, error, expected):
    assert is_uncertain(estimate, error, 0.05) == expected


def test_the_subset_is_that_of_the_splits_own_rule():
    config = DataConfig(name="digits", samples=37, seed=5)
    found = draw_subset(seeded_bits(5, "train"), 500, 37)
    assert np.array_equal(found.samples, choose_samples(500, config, "train"))


def test_a_larger_subset_holds_the_smaller_one_in_the_same_halves():
    small, large = (draw_subset(np.random.PCG64(2), 300, n) for n in (31, 90))
    place = np.searchsorted(large.samples, small.samples)
    assert np.array_equal(large.samples[place], small.samples)
    assert np.array_equal(large.halves[place], small.halves)
    assert np.all(np.diff(large.samples) > 0)
    assert np.bincount(small.halves).tolist() == [16, 15]


def test_every_sample_is_as_likely_in_either_half():
    counts = np.zeros((3, 12))
    for seed in range(3000):
        subset = draw_subset(np.random.PCG64(seed), 12, 6)
        label = np.full(12, 2)
        label[subset.samples] = subset.halves
        counts[label, np.arange(12)] += 1
    expected = np.array([[750], [750], [1500]])
    assert np.all(abs(counts - expected) < 4.5 * np.sqrt(expected))


@pytest.mark.parametrize("count", [3, 0, 101])
def test_a_subset_of_the_wrong_size_is_refused(count):
    with pytest.raises(UserError, match=f"found a subset of {count} .* expected 4 to 100"):
        draw_subset(np.random.PCG64(0), 100, count)


def test_error_for_the_whole_split_counts_both_draws():
    values, predicted = population(3000)
    found = []
    for seed in range(600):
        outer = draw_subset(np.random.PCG64(seed), 3000, 400).samples
        inner = draw_subset(np.random.PCG64([seed, 1]), 400, 100)
        chosen = outer[inner.samples]
        estimate, error = cross_fitted(
            values[chosen], predicted[chosen], predicted[outer].mean(), 400, inner.halves
        )
        found.append((estimate, error, add_sampling_error(error, values[chosen], 400, 3000)))
    estimates_, inner_errors, errors = np.array(found).T
    assert np.isclose(np.sqrt((errors**2).mean()), estimates_.std(), rtol=0.08)
    assert np.sqrt((inner_errors**2).mean()) < 0.9 * estimates_.std()


def test_error_for_the_whole_split_is_unchanged_when_all_of_it_is_used():
    assert add_sampling_error(0.25, np.array([1.0, 2.0, 9.0]), 100, 100) == 0.25


def test_one_sample_has_no_standard_error():
    assert math.isnan(plain(np.ones(1), np.ones(1), 1.0, 5)[1])
