"""The three spirals: their geometry, their seeds and their arguments."""

import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.problem.data.spirals import read as read_spirals
from losscape_mpi.study.config import DataConfig


def spirals(split="train", **args):
    return read_spirals(DataConfig(name="spirals", args=args), split)


def angle_of(points):
    return np.arctan2(points[:, 0], points[:, 1])


def test_without_noise_a_point_lies_at_its_radius_and_angle():
    raw = spirals(per_arm=51, noise=0.0)

    assert raw.inputs.shape == (153, 2)
    for c in range(3):
        radius = np.arange(51) / 50
        arm = raw.inputs[raw.targets == c]
        np.testing.assert_allclose(np.hypot(*arm.T), radius, atol=1e-6)
        turn = np.exp(1j * (angle_of(arm)[1:] - (2 * np.pi * c / 3 + 4 * radius[1:])))
        np.testing.assert_allclose(turn, 1, atol=1e-5)


def test_noise_is_gaussian_in_the_angle_with_its_deviation():
    noisy, clean = (spirals(per_arm=2000, noise=noise) for noise in (0.2, 0.0))

    outer = np.hypot(*clean.inputs.T) > 0.01
    turned = angle_of(noisy.inputs[outer]) - angle_of(clean.inputs[outer])
    error = np.angle(np.exp(1j * turned))
    # 6,000 draws: the mean's standard error is 0.0026, the deviation's 0.0018.
    assert abs(error.mean()) < 0.012
    assert error.std() == pytest.approx(0.2, abs=0.009)


def test_defaults_are_100_points_an_arm_with_noise_0_2_and_seed_0():
    default, explicit = spirals(), spirals(per_arm=100, noise=0.2, seed=0)

    np.testing.assert_array_equal(default.inputs, explicit.inputs)
    assert np.bincount(default.targets).tolist() == [100, 100, 100]


def test_splits_and_seeds_are_draws_of_their_own_and_repeat():
    draws = [spirals("train"), spirals("test"), spirals("train", seed=1)]

    assert len({draw.inputs.tobytes() for draw in draws}) == 3
    assert spirals("test").inputs.tobytes() == draws[1].inputs.tobytes()


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"arms": 5}, "no argument arms: expected per_arm, noise, seed"),
        ({"per_arm": 0}, "found per_arm: 0, expected an integer >= 1"),
        ({"per_arm": 2.5}, "found per_arm: 2.5"),
        ({"seed": True}, "found seed: True"),
        ({"seed": -1}, "expected an integer >= 0"),
        ({"noise": -0.1}, "expected a number >= 0"),
        ({"noise": "much"}, "found noise: 'much'"),
        ({"noise": float("nan")}, "found noise: nan"),
    ],
)
def test_an_argument_of_another_kind_is_refused(args, reason):
    with pytest.raises(UserError, match=reason):
        spirals(**args)
