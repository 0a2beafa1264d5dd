"""The directions that are made of derivatives at the center."""

from __future__ import annotations

import logging

from losscape_mpi.curvature.extremes import extreme_eigenpairs, gradient_direction
from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import Made
from losscape_mpi.problem.build import Problem
from losscape_mpi.study.plane_config import AxisConfig

logger = logging.getLogger(__name__)


def eigenvector_directions(
    problem: Problem, settings: AxisConfig, axes: tuple[str, ...]
) -> dict[str, Made]:
    """Return eigenvectors of the Hessian at the center, the first pair's along the first axis.

    Under ignore: biasbn the Hessian is that of the weights alone.

    Args:
        problem: Model and data; the first split is taken.
        settings: which, samples, seed and ignore.
        axes: One or two of the plane's axes.
    """
    pairs = extreme_eigenpairs(
        problem,
        names=_moved_names(problem, settings),
        split=next(iter(problem.splits)),
        samples=settings.samples,
        which=settings.which,
        seed=settings.seed,
    )
    if not pairs.converged:
        logger.warning(
            "the eigenvectors have residuals %s for eigenvalues %s: they are no exact ones",
            [float(f"{value:.2g}") for value in pairs.residuals],
            [float(f"{value:.4g}") for value in pairs.values],
        )
    common = {k: v for k, v in pairs.record.items() if k not in ("eigenvalues", "residuals")}
    made = {}
    for number, axis in enumerate(axes):
        own = {
            "eigenvalue": pairs.values[number].item(),
            "residual": pairs.residuals[number].item(),
        }
        made[axis] = Made(pairs.vectors[number], {"ignore": settings.ignore} | common | own)
    return made


def gradient_directions(
    problem: Problem, settings: AxisConfig, axes: tuple[str, ...]
) -> dict[str, Made]:
    """Return the direction of the gradient at the center, of length 1, for a single axis.

    Raises:
        UserError: If it is asked for on both axes.
    """
    if len(axes) > 1:
        raise UserError(
            "plane.kind: gradient is one direction, expected it on one axis: set grid.beta to "
            "null, or give the other axis a kind of its own, such as plane.beta.kind: random"
        )
    direction, record = gradient_direction(
        problem,
        names=_moved_names(problem, settings),
        split=next(iter(problem.splits)),
        samples=settings.samples,
        seed=settings.seed,
    )
    return {axes[0]: Made(direction, {"ignore": settings.ignore} | record)}


def _moved_names(problem: Problem, settings: AxisConfig) -> list[str]:
    return [
        name
        for name, tensor in problem.model.named_parameters()
        if tensor.is_floating_point() and (settings.ignore == "none" or tensor.ndim > 1)
    ]
