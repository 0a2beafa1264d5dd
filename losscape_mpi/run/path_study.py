"""From a trained recipe to the study of the plane through its path, with a grid that holds it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal
from pathlib import Path

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import AXES
from losscape_mpi.geometry.families.pca import pca_plane
from losscape_mpi.geometry.trajectory.rows import checkpoint_files
from losscape_mpi.problem.build import Problem, build_problem
from losscape_mpi.problem.number import as_array, numbers_of
from losscape_mpi.study.config import GridConfig, Study
from losscape_mpi.study.farm_config import FarmConfig
from losscape_mpi.study.plane_config import PlaneConfig
from losscape_mpi.training.config import TrainConfig

MARGIN = 0.2  # of the path's extent along an axis, beyond it on each side
LEAST_EXTENT = 0.1  # of the longer axis' extent: a path that is almost a line has two axes too


def path_study(config: TrainConfig, points: int, threads: int) -> tuple[Study, Problem]:
    """Return the study of the principal plane of a trained path, and its problem at the path's end.

    Rows are taken about their mean; a step of 1 is a distance of 1 between parameters.

    Args:
        config: The recipe, trained.
        points: Of the grid along each axis.
        threads: CPU threads that evaluate.

    Raises:
        UserError: If the recipe has no path, or the path no two directions.
    """
    folder = path_folder(config)
    trained = config.problem.model_copy(update={"checkpoint": config.output.absolute()})
    problem = build_problem(trained)
    plane = PlaneConfig(kind="pca", checkpoints=folder, ignore="none", centered=True)
    has_labels = all(split.num_classes is not None for split in problem.splits.values())
    study = Study(
        name=config.output.stem,
        problem=trained,
        plane=plane,
        grid=_grid(_coordinates(folder, problem), points),
        metrics=["loss", "accuracy"] if has_labels else ["loss"],
        farm=FarmConfig(threads=threads),
        output=config.output.with_name(f"{config.output.stem}_pca.h5"),
    )
    return study, problem


def path_folder(config: TrainConfig) -> Path:
    """Return the folder of a recipe's path.

    Raises:
        UserError: If the recipe has none.
    """
    if config.path is None:
        raise UserError(
            f"the recipe of {config.output} has no path, expected path: {{folder: ...}}: its "
            "checkpoints are the frames"
        )
    return config.path.folder.absolute()


def path_range(places: Sequence[float], points: int, least: float = 0.0) -> tuple[float, float]:
    """Return the ends of an axis that holds a path with a margin, and 0 as one of its points.

    The distance of two points is a decimal of two digits, so that the last bits of the places,
    which depend on the machine, do not change the grid.

    Args:
        places: Coordinates of the checkpoints; the center, 0, is always held.
        points: Of the axis, 3 or more.
        least: Smallest extent to plan for.
    """
    low, high = min(0.0, *places), max(0.0, *places)
    room = MARGIN * max(high - low, least)
    low, high = low - room, high + room
    step = _rounded_up((high - low) / (points - 2))
    below = math.ceil(Decimal(-low) / step)
    return float(-below * step), float((points - 1 - below) * step)


def _coordinates(folder: Path, problem: Problem) -> dict[str, list[float]]:
    numbers = numbers_of(dict(problem.model.named_parameters()))
    center = {name: as_array(tensor) for name, tensor in numbers.items()}
    _, record = pca_plane(checkpoint_files(folder), center, AXES, ignore="none", centered=True)
    return {axis: record["coordinates"][axis] for axis in AXES}


def _grid(coordinates: dict[str, list[float]], points: int) -> GridConfig:
    extents = [max(0.0, *places) - min(0.0, *places) for places in coordinates.values()]
    ends = [path_range(p, points, LEAST_EXTENT * max(extents)) for p in coordinates.values()]
    return GridConfig(alpha=(*ends[0], points), beta=(*ends[1], points))


def _rounded_up(value: float) -> Decimal:
    """Return the next decimal of two digits that is not smaller."""
    exact = Decimal(value)
    return exact.quantize(Decimal(1).scaleb(exact.adjusted() - 1), rounding=ROUND_CEILING)
