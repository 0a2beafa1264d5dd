import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from losscape_mpi.evaluation.forward.sums import Sums, mean_and_error


def mean_and_error_of(values, available):
    sums = Sums.of(torch.tensor(values, dtype=torch.float64))
    mean, error = mean_and_error(sums.total.numpy(), sums.deviation.numpy(), sums.count, available)
    return float(mean), float(error)


def test_mean_and_standard_error_are_those_of_numpy():
    values = np.random.default_rng(1).normal(3, 2, size=50)
    mean, error = mean_and_error_of(values, 80)
    np.testing.assert_allclose(mean, values.mean(), rtol=1e-14)
    want = values.std(ddof=1) / math.sqrt(50) * math.sqrt(1 - 50 / 80)
    np.testing.assert_allclose(error, want, rtol=1e-13)


def test_the_last_axis_holds_the_samples():
    values = np.random.default_rng(2).normal(size=(3, 2, 5))
    sums = Sums.of(torch.from_numpy(values))
    mean, error = mean_and_error(sums.total.numpy(), sums.deviation.numpy(), 5, 9)
    np.testing.assert_allclose(mean, values.mean(axis=2), rtol=1e-12)
    want = values.std(axis=2, ddof=1) * math.sqrt((1 - 5 / 9) / 5)
    np.testing.assert_allclose(error, want, rtol=1e-13)


def test_a_large_common_value_does_not_cancel():
    values = [1e9 + k / 8 for k in range(9)]
    mean = sum(map(Fraction, values)) / 9
    variance = sum((Fraction(v) - mean) ** 2 for v in values) / 8
    want = math.sqrt(variance / 9 * (1 - Fraction(9, 100)))
    np.testing.assert_allclose(mean_and_error_of(values, 100)[1], want, rtol=1e-9)


def test_the_whole_split_has_no_standard_error_left():
    assert mean_and_error_of([1.0, 2.0, 4.0], 3)[1] == 0.0


def test_one_sample_of_several_has_no_standard_error():
    assert math.isnan(mean_and_error_of([1.0], 5)[1])
    assert mean_and_error_of([1.0], 1)[1] == 0.0


def test_equal_values_have_the_standard_error_zero():
    assert mean_and_error_of([0.5, 0.5, 0.5], 10)[1] == 0.0


@pytest.mark.parametrize("available", [5, 9])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_shows_in_mean_and_standard_error(bad, available):
    mean, error = mean_and_error_of([1.0, 2.0, bad, 3.0, 4.0], available)
    np.testing.assert_array_equal(mean, bad)
    assert not math.isfinite(error)


def test_infinities_of_both_signs_have_no_mean():
    assert math.isnan(mean_and_error_of([math.inf, -math.inf], 2)[0])
