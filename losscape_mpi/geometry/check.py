"""What makes a plane impossible, and what makes it doubtful."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import Directions
from losscape_mpi.study.kinds import KINDS

logger = logging.getLogger(__name__)

MAX_COSINE = 0.5  # two draws from [0, 1) instead of Gaussians have 0.75
MOST_SIGNS = 0.5  # of the squared lengths: beyond it the signs decide the angle
PARALLEL_COSINE = 0.99  # beyond it a plane is a line


def check_center(weights: Mapping[str, np.ndarray]) -> None:
    """Refuse trained parameters that are not finite.

    Raises:
        UserError: Naming the first one.
    """
    for name, weight in weights.items():
        if not np.isfinite(weight).all():
            raise UserError(
                f"the trained parameter {name} holds NaN or infinity, expected finite numbers: "
                "choose another checkpoint"
            )


def check_directions(directions: Directions) -> None:
    """Refuse directions that lead nowhere or out of the numbers.

    Raises:
        UserError: If one is 0 everywhere, or not finite.
    """
    for axis, direction in directions.items():
        if bad := [name for name, tensor in direction.items() if not tensor.isfinite().all()]:
            raise UserError(
                f"direction {axis} holds NaN, infinity or numbers above 3e38 in {bad[0]}, expected "
                "finite numbers: check the checkpoints' weights or the direction file"
            )
        if not any(tensor.any() for tensor in direction.values()):
            raise UserError(
                f"direction {axis} is 0 everywhere, expected a length above 0: plane.ignore: none "
                "moves biases and norm layers too, weights that are all 0 never move"
            )


def check_angle(cosine: float | None, kinds: Mapping[str, str], signs_share: float = 0.0) -> None:
    """Refuse two axes that are nearly one; only random ones cannot be skew by nature.

    Args:
        cosine: Of the two directions; None where there is no angle.
        kinds: How each was made, by axis.
        signs_share: How much of the directions lies in filters of one number.

    Raises:
        UserError: If random directions are skew, or any are parallel.
    """
    if cosine is None or abs(cosine) <= MAX_COSINE:
        return
    if all(KINDS[kind].is_drawn for kind in kinds.values()):
        if signs_share > MOST_SIGNS:
            raise UserError(
                f"the two directions have cosine {cosine:.3f}, expected at most {MAX_COSINE} in "
                f"absolute value: {signs_share:.0%} of them lies in filters of a single number, "
                "whose sign alone filter normalisation leaves, so that other seeds help little: "
                "set plane.normalize to layer or none, or grid.beta to null"
            )
        raise UserError(
            f"the two directions have cosine {cosine:.3f}, expected at most {MAX_COSINE} in "
            "absolute value: choose another plane.seed"
        )
    names = " and ".join(dict.fromkeys(kinds.values()))
    if abs(cosine) > PARALLEL_COSINE:
        raise UserError(
            f"the two directions ({names}) have cosine {cosine:.6f}, which is a line and no plane: "
            "set grid.beta to null or take another direction"
        )
    logger.warning("the two directions (%s) are skew: their cosine is %.3f", names, cosine)
