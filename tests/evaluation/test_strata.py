"""The stratified correction: exhaustive over all draws, and its choice of samples by hand."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from losscape_mpi.evaluation.estimators.strata import Strata, choose_strata, corrected_mean


def levels(size=9, seed=3):
    """Costly values and cheap ones that err most where they are large."""
    draw = np.random.default_rng(seed)
    high = draw.exponential(1, size) ** 2
    return high * (1 + 0.3 * draw.normal(size=size)), high


def every_draw(size, certain, count):
    rest = [k for k in range(size) if k not in certain]
    for drawn in itertools.combinations(rest, count):
        yield Strata(np.array(certain, dtype=int), np.array(drawn, dtype=int))


@pytest.mark.parametrize("certain", [[], [2, 7]])
def test_the_estimate_has_no_bias_and_states_its_variance(certain):
    low, high = levels()
    found = np.array([corrected_mean(low, high[s.samples], s) for s in every_draw(9, certain, 4)])
    assert_allclose(found[:, 0].mean(), high.mean(), rtol=1e-13)
    assert_allclose(found[:, 0].var(), (found[:, 1] ** 2).mean(), rtol=1e-12)
    assert found[:, 0].var() > 1e-6


def test_what_is_certain_adds_no_error():
    low, high = levels()
    low[4] += 100.0  # as a bfloat16 logit may err
    for strata in every_draw(9, [4], 3):
        estimate, error = corrected_mean(low, high[strata.samples], strata)
        assert abs(estimate - high.mean()) < 1
        assert error < 1


@pytest.mark.parametrize("certain", [[], [0, 3], list(range(9))])
def test_all_samples_give_their_mean_and_an_error_of_zero(certain):
    low, high = levels()
    (strata,) = every_draw(9, certain, 9 - len(certain))
    for is_hit in (False, True):
        estimate, error = corrected_mean(low, high[strata.samples], strata, is_hit=is_hit)
        assert_allclose(estimate, high.mean(), rtol=1e-13)
        assert error == 0


def test_one_drawn_sample_of_several_has_no_standard_error():
    low, high = levels()
    strata = Strata(np.array([1, 2]), np.array([5]))
    assert np.isnan(corrected_mean(low, high[strata.samples], strata)[1])


def test_no_flip_among_the_drawn_hits_is_no_proof_that_there_is_none():
    low, high = np.ones(1000), np.ones(1000)
    strata = Strata(np.arange(100), np.arange(100, 300))
    estimate, error = corrected_mean(low, high[strata.samples], strata, is_hit=True)
    assert estimate == 1
    assert_allclose(error, 0.9 * np.sqrt(1 / 202 / 200 * (1 - 200 / 900)), rtol=1e-12)


def test_the_error_of_rare_flips_covers():
    draw = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        low = (draw.random(1000) < 0.6).astype(float)
        high = np.where(draw.random(1000) < 0.004, 1 - low, low)
        strata = Strata(np.arange(100), np.sort(draw.permutation(np.arange(100, 1000))[:150]))
        estimate, error = corrected_mean(low, high[strata.samples], strata, is_hit=True)
        covered.append(abs(estimate - high.mean()) <= 2 * error)
    assert np.mean(covered) > 0.95


def test_half_of_the_samples_are_the_largest_losses_and_the_smallest_margins():
    draw = np.random.default_rng(1)
    low = {"loss": draw.exponential(1, 50), "margin": draw.exponential(1, 50)}
    keys = draw.permutation(50)

    strata = choose_strata(low, keys, 20)

    close = set(np.argsort(low["margin"])[:5].tolist())
    large = [k for k in np.argsort(-low["loss"]).tolist() if k not in close][:5]
    assert strata.certain.tolist() == sorted(close | set(large))
    others = [k for k in np.argsort(keys).tolist() if k not in strata.certain]
    assert strata.drawn.tolist() == sorted(others[:10])


@pytest.mark.parametrize(("name", "sign"), [("loss", -1), ("margin", 1)])
def test_one_ranking_alone_takes_the_whole_half(name, sign):
    values = np.random.default_rng(2).exponential(1, 30)
    strata = choose_strata({name: values}, np.arange(30), 11)
    assert strata.certain.tolist() == sorted(np.argsort(sign * values)[:5].tolist())
    assert len(strata.samples) == 11


def test_equal_losses_are_taken_in_their_order():
    strata = choose_strata({"loss": np.ones(12)}, np.arange(12)[::-1], 6)
    assert strata.certain.tolist() == [0, 1, 2]
    assert strata.drawn.tolist() == [9, 10, 11]


def test_all_samples_may_be_chosen():
    strata = choose_strata({"loss": np.arange(7.0)}, np.arange(7), 7)
    assert sorted(strata.samples.tolist()) == list(range(7))
