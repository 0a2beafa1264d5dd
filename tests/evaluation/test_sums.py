import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from losscape_mpi.evaluation.sums import Sums


def sums_of(values, size):
    total = Sums()
    for part in torch.tensor(values, dtype=torch.float64).split(size):
        total = total + Sums.of(part)
    return total


@pytest.mark.parametrize("size", [1, 3, 4, 7, 50])
def test_mean_and_standard_error_are_those_of_numpy_for_any_batches(size):
    values = np.random.default_rng(1).normal(3, 2, size=50)
    sums = sums_of(values, size)
    np.testing.assert_allclose(sums.mean(), values.mean(), rtol=1e-14)
    want = values.std(ddof=1) / math.sqrt(50) * math.sqrt(1 - 50 / 80)
    np.testing.assert_allclose(sums.standard_error(80), want, rtol=1e-13)


def test_a_large_common_value_does_not_cancel():
    values = [1e9 + k / 8 for k in range(9)]
    mean = sum(map(Fraction, values)) / 9
    variance = sum((Fraction(v) - mean) ** 2 for v in values) / 8
    want = math.sqrt(variance / 9 * (1 - Fraction(9, 100)))
    np.testing.assert_allclose(sums_of(values, 2).standard_error(100), want, rtol=1e-9)


def test_a_short_last_batch_weighs_by_its_samples():
    assert sums_of([1.0, 1.0, 1.0, 5.0], 3).mean() == 2.0


def test_the_whole_split_has_no_standard_error_left():
    assert sums_of([1.0, 2.0, 4.0], 2).standard_error(3) == 0.0


def test_one_sample_of_several_has_no_standard_error():
    assert math.isnan(sums_of([1.0], 1).standard_error(5))
    assert sums_of([1.0], 1).standard_error(1) == 0.0


def test_equal_values_have_the_standard_error_zero():
    assert sums_of([0.5, 0.5, 0.5], 2).standard_error(10) == 0.0


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("available", [5, 9])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_shows_in_mean_and_standard_error(bad, available, size):
    sums = sums_of([1.0, 2.0, bad, 3.0, 4.0], size)
    np.testing.assert_array_equal(sums.mean(), bad)
    assert not math.isfinite(sums.standard_error(available))


def test_infinities_of_both_signs_have_no_mean():
    assert math.isnan(sums_of([math.inf, -math.inf], 1).mean())
