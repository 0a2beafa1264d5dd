"""Shares of a path without aim: closed forms of PCA on random walks (Antognini 2018)."""

import numpy as np
import pytest

from losscape_mpi.geometry.trajectory.random_walk import random_walk_gram, shares


def null(steps, centered):
    """The first two shares of a walk that ends at the center."""
    return shares(random_walk_gram(steps, np.array([*np.ones(len(steps)), 0.0])), centered)[:2]


def test_equal_steps_give_the_closed_forms():
    k = np.array([1, 2])
    steps = np.full(800, 0.3)
    np.testing.assert_allclose(null(steps, True), 6 / (np.pi * k) ** 2, atol=1e-3)
    np.testing.assert_allclose(null(steps, False), 8 / (np.pi * (2 * k - 1)) ** 2, atol=1e-3)


def test_thirty_steps_are_enough_for_the_closed_forms():
    np.testing.assert_allclose(null(np.ones(30), True), [0.608, 0.152], atol=2e-3)
    np.testing.assert_allclose(null(np.ones(30), False), [0.811, 0.090], atol=4e-3)


def test_falling_learning_rates_concentrate_a_walk_further():
    steps = np.repeat([1.0, 0.1, 0.01], [500, 250, 250])
    np.testing.assert_allclose(null(steps, True), [0.727, 0.124], atol=1e-3)


def test_the_expected_matrix_is_the_mean_of_simulated_ones():
    rng = np.random.default_rng(0)
    steps = np.array([2.0, 1.0, 0.5, 1.5])
    sums = np.zeros((5, 5))
    for _ in range(300):
        moves = rng.normal(size=(4, 200)) * steps[:, None] / np.sqrt(200)
        rows = np.concatenate([np.zeros((1, 200)), moves.cumsum(axis=0)])
        rows -= rows[-1]
        sums += rows @ rows.T
    norms = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    np.testing.assert_allclose(sums / 300, random_walk_gram(steps, norms), atol=0.15)


@pytest.mark.parametrize("at", [0, 2])
def test_a_center_on_the_way_splits_the_walk(at):
    steps, norms = np.array([1.0, 2.0, 3.0]), np.ones(4)
    norms[at] = 0.0
    want = {
        0: [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 5, 5], [0, 1, 5, 14]],
        2: [[5, 4, 0, 0], [4, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 9]],
    }
    np.testing.assert_allclose(random_walk_gram(steps, norms), want[at])


def test_a_center_beyond_the_path_is_one_more_step():
    gram = random_walk_gram(np.array([1.0, 2.0]), np.array([9.0, 9.0, 3.0]))
    np.testing.assert_allclose(gram, [[14, 13, 9], [13, 13, 9], [9, 9, 9]])


def test_a_path_that_never_moves_has_no_shares():
    assert shares(np.zeros((3, 3)), centered=True).tolist() == [0, 0, 0]
