"""A trained recipe as a movie: the surface on the plane of its path, then the frames."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.evaluation.regions import class_probabilities, is_planar, lattice
from losscape_mpi.farm.host.launcher import library_name
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.movie.file import write_movie
from losscape_mpi.figures.path.movie import path_frames
from losscape_mpi.figures.path.panels import Regions
from losscape_mpi.geometry.trajectory.rows import checkpoint_files
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.checkpoint import load_checkpoint
from losscape_mpi.run.compute import Stopping, compute
from losscape_mpi.run.outcome import COMPLETE, FAILED_POINTS
from losscape_mpi.run.path_study import path_study
from losscape_mpi.run.ranks import local_pool
from losscape_mpi.run.trajectory import follow_path
from losscape_mpi.store.attach import attach_trajectory
from losscape_mpi.store.reader import read_surface
from losscape_mpi.store.surface import Surface
from losscape_mpi.study.config import Study
from losscape_mpi.training.config import TrainConfig

logger = logging.getLogger(__name__)

COLUMN = "train/loss"
PATH = "path"  # name of the trajectory in the surface file
MOST_FRAMES = 81  # 8 s at 10 frames a second; of a longer path so many checkpoints are drawn
CELLS = 160  # along each side of the decision regions
ENDINGS = (".gif", ".mp4")
NO_REGIONS = "found samples of shape {}, decision regions need (2,) with labels: no regions drawn"


def animate(
    config: TrainConfig, points: int, fps: int, threads: int, fresh: bool, stop: Stopping
) -> list[Path]:
    """Write the movies of a trained recipe; returns their paths, none if stopped before.

    The surface goes to NAME_pca.h5 beside the checkpoint, with the path in it; a complete one is
    taken as it is.

    Args:
        config: The recipe, trained.
        points: Of the surface along each axis.
        fps: Frames per second.
        threads: CPU threads that evaluate.
        fresh: Whether an existing surface file is moved aside.
        stop: Asked now and then whether to end.

    Raises:
        UserError: If the recipe has no path, the surface file is of another study, or the movies
            cannot be drawn: the file is complete then.
    """
    if config.label_noise is not None:
        logger.warning("warning: %s learned wrong labels, its surface has the right", config.output)
    study, problem = path_study(config, points, threads)
    if not compute_surface(study, fresh, stop):
        return []
    files = _files(study)
    if PATH not in read_surface(study.output).trajectories:
        attach_trajectory(study.output, PATH, follow_path(study, files, True), False)
    try:
        return _draw(config, study, problem, files, fps)
    except Exception as error:
        raise UserError(
            f"{study.output} is complete, its movies cannot be drawn ({first_line(error)}); run "
            "the same command again to draw them"
        ) from error


def _draw(
    config: TrainConfig, study: Study, problem: Problem, files: Sequence[Path], fps: int
) -> list[Path]:
    """Write the movies of a surface file that holds the path; returns their paths."""
    surface = read_surface(study.output)
    shown = shown_checkpoints(len(files))
    regions = path_regions(problem, [files[k] for k in shown])
    if regions is None:
        found = tuple(problem.splits["train"].inputs.shape[1:])
        logger.info("%s: %s", study.name, NO_REGIONS.format(found))
    path = surface.trajectories[PATH]
    look = Look(title=_title(config, surface))
    frames = list(path_frames(surface, path, COLUMN, look, regions, shown))
    movies = [study.output.with_name(f"{study.name}_animation{end}") for end in ENDINGS]
    for movie in movies:
        write_movie(frames, movie, fps)
    return movies


def compute_surface(study: Study, fresh: bool, stop: Stopping) -> bool:
    """Compute the missing points of a study by one worker; returns whether none is left.

    The same engine as that of `losscape_mpi.surface`, and so the same bytes.

    Raises:
        MismatchError: If the file holds another study.
        UserError: If points failed.
    """
    with local_pool(study.farm) as pool:
        outcome = compute(study, pool, stop, launcher=library_name(None), fresh=fresh)
    if outcome.code == FAILED_POINTS:
        raise UserError(outcome.text)
    return outcome.code == COMPLETE


def path_regions(problem: Problem, files: Sequence[Path]) -> Regions | None:
    """Return the decision regions of checkpoints, made while they are asked for; None if no 2-D.

    Args:
        problem: Network and data; stays as it is.
        files: The checkpoints in the order of the frames.
    """
    split = problem.splits["train"]
    if not is_planar(split) or split.num_classes is None:
        return None
    x, y = lattice(split, CELLS)

    def answers() -> Iterator[np.ndarray]:
        model = copy.deepcopy(problem.model)
        for path in files:
            load_checkpoint(model, path, problem.checkpoint_key)
            yield class_probabilities(model, x, y)

    points, labels = split.inputs.numpy(), split.targets.numpy()
    return Regions(x, y, points, labels, split.num_classes, answers())


def shown_checkpoints(count: int) -> list[int]:
    """Return which of so many checkpoints have a frame: all, or 81 evenly with both ends."""
    if count <= MOST_FRAMES:
        return list(range(count))
    return [int(k) for k in np.linspace(0, count - 1, MOST_FRAMES).round()]


def _files(study: Study) -> list[Path]:
    if study.plane.checkpoints is None:
        raise ValueError("the study of a path lacks its checkpoints")
    return checkpoint_files(study.plane.checkpoints)


def _title(config: TrainConfig, surface: Surface) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in config.problem.model_args.items())
    model = f"{config.problem.model} ({settings})" if settings else config.problem.model
    samples = surface.manifest["splits"]["train"]["samples"]
    return f"{model} on {config.problem.data.name} ({samples} train samples), {config.optimizer}"
