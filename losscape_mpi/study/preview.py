"""A small version of a study: the same plane and range, fewer points and samples."""

from __future__ import annotations

from losscape_mpi.study.config import Axis, Study

MOST_POINTS = 11  # of an axis
MOST_SAMPLES = 256  # of a split


def preview(study: Study) -> Study:
    """Return the preview of a study: a picture within seconds, in a file of its own.

    At most 11 points on each axis over the same range (an odd number where the study has one, so
    that the center stays a point), at most 256 samples of each split, drawn as the study draws its
    own, and the plain mean of them. The output NAME.h5 becomes NAME.preview.h5.

    Args:
        study: The resolved study.
    """
    grid = study.grid
    axes = {"alpha": _coarse(grid.alpha), "beta": grid.beta and _coarse(grid.beta)}
    samples = min(study.problem.data.samples or MOST_SAMPLES, MOST_SAMPLES)
    data = study.problem.data.model_copy(update={"samples": samples})
    return study.model_copy(
        update={
            "name": f"{study.name} (preview)",
            "problem": study.problem.model_copy(update={"data": data}),
            "grid": grid.model_copy(update=axes),
            "evaluation": study.evaluation.model_copy(update={"estimator": "mean"}),
            "output": study.output.with_suffix(f".preview{study.output.suffix}"),
        }
    )


def _coarse(axis: Axis) -> Axis:
    low, high, num = axis
    most = MOST_POINTS if num % 2 else MOST_POINTS - 1
    return (low, high, min(num, most))
