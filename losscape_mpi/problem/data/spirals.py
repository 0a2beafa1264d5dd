"""Three noisy spirals in the plane: a toy whose surface is known from many papers."""

from __future__ import annotations

import math

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.problem.data.split import RawSplit, seeded_bits
from losscape_mpi.study.config import DataConfig

NUM_CLASSES = 3
TURN = 4.0  # radians from the middle to the end of an arm


def read(config: DataConfig, split: str) -> RawSplit:
    """Return a whole split of the spirals: points (3 * per_arm, 2) and labels (3 * per_arm,).

    A. Karpathy, course CS231n, "Neural networks case study": class c has the radius
    r = 0..1 and the angle 2 pi c / 3 + 4 r + noise.

    Args:
        config: args are the keyword arguments of `draw_spirals`.
        split: train or test: two independent draws.

    Raises:
        UserError: If an argument is of another kind or out of range.
    """
    known = {"per_arm": 100, "noise": 0.2, "seed": 0}
    if unknown := config.args.keys() - known.keys():
        raise UserError(
            f"data spirals has no argument {', '.join(sorted(unknown))}: "
            f"expected {', '.join(known)} in problem.data.args"
        )
    values = known | config.args
    for name in ("per_arm", "seed"):
        if type(values[name]) is not int or values[name] < (name == "per_arm"):
            raise _unusable(name, values[name], "an integer >= " + str(int(name == "per_arm")))
    noise = values["noise"]
    if type(noise) not in (int, float) or not 0 <= noise < math.inf:
        raise _unusable("noise", noise, "a number >= 0")
    points, labels = draw_spirals(values["per_arm"], noise, values["seed"], split)
    return RawSplit(points, labels, NUM_CLASSES)


def draw_spirals(
    per_arm: int, noise: float, seed: int, split: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return points (3 * per_arm, 2) float32, arm after arm, and their labels.

    Args:
        per_arm: Points of each class.
        noise: Standard deviation of the angle, radians.
        seed: Seed of the noise.
        split: Part of the seed, so that each split is a draw of its own.
    """
    labels = np.repeat(np.arange(NUM_CLASSES), per_arm)
    radius = np.tile(np.linspace(0, 1, per_arm), NUM_CLASSES)
    draw = np.random.Generator(seeded_bits(seed, split)).standard_normal(len(labels))
    angle = 2 * np.pi * labels / NUM_CLASSES + TURN * radius + noise * draw
    points = radius * np.stack([np.sin(angle), np.cos(angle)])  # (2, 3 * per_arm)
    # float32 hides the last bit of sine and cosine, which differs between processors.
    return points.T.astype(np.float32), labels


def _unusable(name: str, value: object, expected: str) -> UserError:
    return UserError(f"data spirals: found {name}: {value!r}, expected {expected}")
