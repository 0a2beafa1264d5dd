"""Directions of the Hessian's eigenvectors at the center."""

from __future__ import annotations

import logging

from losscape_mpi.curvature.extremes import extreme_eigenpairs
from losscape_mpi.geometry.direction import Axes, Center, Made, moved_names, problem_at
from losscape_mpi.study.plane_config import AxisConfig

logger = logging.getLogger(__name__)


def directions(settings: AxisConfig, axes: Axes, center: Center) -> dict[str, Made]:
    """Return eigenvectors of the Hessian at the center, the first pair's along the first axis.

    Under ignore: biasbn the Hessian is that of the weights alone.

    Args:
        settings: which, samples, seed and ignore.
        axes: One or two of the plane's axes.
        center: With model and data; the first split is taken.
    """
    problem = problem_at(center)
    pairs = extreme_eigenpairs(
        problem,
        names=moved_names(center, settings.ignore),
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
