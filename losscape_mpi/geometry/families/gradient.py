"""The direction of the gradient at the center."""

from __future__ import annotations

from losscape_mpi.curvature.extremes import gradient_direction
from losscape_mpi.geometry.direction import Axes, Center, Made, moved_names, problem_at
from losscape_mpi.study.plane_config import AxisConfig


def directions(settings: AxisConfig, axes: Axes, center: Center) -> dict[str, Made]:
    """Return the direction of the gradient at the center, of length 1, for a single axis.

    Args:
        settings: samples, seed and ignore.
        axes: One of the plane's axes.
        center: With model and data; the first split is taken.
    """
    (axis,) = axes
    problem = problem_at(center)
    direction, record = gradient_direction(
        problem,
        names=moved_names(center, settings.ignore),
        split=next(iter(problem.splits)),
        samples=settings.samples,
        seed=settings.seed,
    )
    return {axis: Made(direction, {"ignore": settings.ignore} | record)}
