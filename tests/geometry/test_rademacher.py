"""Directions of random signs."""

import numpy as np

from losscape_mpi.geometry.direction import Center
from losscape_mpi.geometry.families.rademacher import rademacher_direction
from losscape_mpi.geometry.families.random import random_direction
from losscape_mpi.study.plane_config import AxisConfig

GENERATOR = np.random.default_rng(0)
WEIGHTS = {"conv": GENERATOR.standard_normal((4, 3, 5, 5)), "bias": np.ones(4)}


def made(**settings):
    config = AxisConfig(kind="rademacher", **settings)
    return rademacher_direction(config, "alpha", Center(WEIGHTS)).direction


def test_every_entry_of_a_filter_moves_equally_far_and_the_filter_keeps_the_weights_length():
    filters = made()["conv"].double().numpy().reshape(4, -1)
    lengths = np.linalg.norm(WEIGHTS["conv"].reshape(4, -1), axis=1)
    np.testing.assert_allclose(np.linalg.norm(filters, axis=1), lengths, rtol=1e-6)
    np.testing.assert_allclose(np.abs(filters), np.abs(filters[:, :1]).repeat(75, 1), rtol=1e-6)
    assert 100 < (filters > 0).sum() < 200  # 150 of 300 are expected, with a deviation of 8.7


def test_signs_are_those_of_the_gaussian_draw_of_the_same_seed():
    drawn = random_direction(AxisConfig(kind="random", seed=3), "alpha", Center(WEIGHTS)).direction
    assert np.array_equal(np.sign(drawn["conv"].numpy()), np.sign(made(seed=3)["conv"].numpy()))


def test_biases_stay_unless_they_are_to_move():
    assert not made()["bias"].any()
    assert made(ignore="none")["bias"].abs().numpy().min() > 0
