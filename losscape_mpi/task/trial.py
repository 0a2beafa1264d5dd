"""The trial of a job's network: at which places, and what follows from it."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from losscape_mpi.curvature.finite_difference import check_gradient
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.network.parameters import Place
from losscape_mpi.evaluation.trial.ground import Ground
from losscape_mpi.evaluation.trial.trial import try_network
from losscape_mpi.geometry.direction import Directions
from losscape_mpi.measure.build import Measures
from losscape_mpi.measure.gradient import Gradient
from losscape_mpi.problem.build import Problem
from losscape_mpi.study.grid import Grid
from losscape_mpi.task.job import CHECKPOINTS, GRID, Job
from losscape_mpi.task.states import States
from losscape_mpi.task.task import Host

# Of the way along each axis: off the center, off the edges, off the diagonal.
SHARES = ((0.31, 0.73), (0.83, 0.42))


def tried_choices(
    job: Job, problem: Problem, measures: Measures, directions: Directions, host: Host
) -> Choices:
    """Return a job's choices after a trial of its network: with one lane where it needs that.

    Args:
        job: What will be computed.
        problem: Its problem.
        measures: What is computed at each place.
        directions: Tensors by axis and name.
        host: The process.

    Raises:
        UserError: If the network cannot be evaluated.
    """
    places = trial_places(job, problem.model)
    ground = Ground(problem, directions, measures.samples, job.choices, places)
    reason = try_network(ground, host.threads)
    for measure in measures.places:
        if isinstance(measure, Gradient):
            check_gradient(problem, measure.names)
    if not reason or job.choices.one_lane:
        return job.choices
    host.note(f"each process computes in one thread: {reason}")
    return replace(job.choices, one_lane=True)


def trial_places(job: Job, model: nn.Module) -> list[Place]:
    """Return two places among those of a job that are not its center."""
    if job.where == CHECKPOINTS:
        states = States(model, job.files)
        return [states(len(job.files) - 1), states(len(job.files) // 2)]
    if job.where == GRID:
        grid, num_axes = Grid.from_config(job.study.grid), len(job.directions)
        axes = (grid.alpha, grid.beta)[:num_axes]
        return [
            tuple(float(a[0] + s * (a[-1] - a[0])) for a, s in zip(axes, share, strict=False))
            for share in SHARES
        ]
    return [tuple(row.tolist()) for row in job.points[[0, -1]]] if len(job.points) else []
