"""A small version of a study: the same plane and range, fewer points and samples."""

from __future__ import annotations

from typing import TypeVar

from losscape_mpi.study.config import Axis, Study
from losscape_mpi.study.plane_config import AxisConfig

Directions = TypeVar("Directions", bound=AxisConfig)

MOST_POINTS = 11  # of an axis
MOST_SAMPLES = 256  # of a split


def preview(study: Study) -> Study:
    """Return the preview of a study: a picture within seconds, in a file of its own.

    At most 11 points on each axis over the same range (an odd number where the study has one, so
    that the center stays a point), at most 256 samples of each split, drawn as the study draws its
    own, and the plain mean of them. The output NAME.h5 becomes NAME.preview.h5. How many samples
    there are is known when they are read only: `prepare` takes fewer then.

    Args:
        study: The resolved study.
    """
    grid = study.grid
    axes = {"alpha": _coarse(grid.alpha), "beta": grid.beta and _coarse(grid.beta)}
    small = study.model_copy(
        update={
            "name": f"{study.name} (preview)",
            "grid": grid.model_copy(update=axes),
            "evaluation": study.evaluation.model_copy(update={"estimator": "mean"}),
            "output": study.output.with_suffix(f".preview{study.output.suffix}"),
        }
    )
    return limit_samples(small, MOST_SAMPLES)


def limit_samples(study: Study, most: int) -> Study:
    """Return a study that takes at most so many samples of each split.

    The samples of its curvature directions are drawn from those, so they are no more either.

    Args:
        study: The resolved study.
        most: At least 1.
    """
    samples = min(study.problem.data.samples or most, most)
    data = study.problem.data.model_copy(update={"samples": samples})
    plane = _with_fewer(study.plane, samples)
    axes = {"alpha": plane.alpha, "beta": plane.beta}
    own = {name: _with_fewer(axis, samples) for name, axis in axes.items() if axis is not None}
    return study.model_copy(
        update={
            "problem": study.problem.model_copy(update={"data": data}),
            "plane": plane.model_copy(update=own),
        }
    )


def _with_fewer(settings: Directions, most: int) -> Directions:
    if settings.samples is None:
        return settings
    return settings.model_copy(update={"samples": min(settings.samples, most)})


def _coarse(axis: Axis) -> Axis:
    low, high, num = axis
    most = MOST_POINTS if num % 2 else MOST_POINTS - 1
    return (low, high, min(num, most))
