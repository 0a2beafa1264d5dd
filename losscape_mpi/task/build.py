"""From a job to its task."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from typing import Any

from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.decide import decide
from losscape_mpi.measure.build import build_measures
from losscape_mpi.problem.build import Problem, build_problem
from losscape_mpi.problem.callables import import_callable, source_sha256
from losscape_mpi.study.code import is_callable_spec
from losscape_mpi.task.job import CHECKPOINTS, SHARDS, Job
from losscape_mpi.task.places import PlacesTask
from losscape_mpi.task.shards import ShardsTask
from losscape_mpi.task.states import whole_model
from losscape_mpi.task.task import Host, Task
from losscape_mpi.task.trial import tried_choices


def load_problem(job: Job, known: tuple[str, Problem] | None) -> tuple[str, Problem]:
    """Return the problem of a job with a key that tells it apart; the known one where it fits.

    Raises:
        UserError: If this process reads other bytes than rank 0.
    """
    precision = job.study.evaluation.precision
    key = f"{job.study.problem.model_dump_json()} {precision}"
    if known is None or known[0] != key:
        known = key, build_problem(job.study.problem, precision)
    job.check_hashes(read_hashes(known[1], job.metrics), socket.gethostname())
    return known


def read_hashes(problem: Problem, metrics: tuple[str, ...]) -> dict[str, Any]:
    """Return the hashes of what a problem and the user's own metrics were read from."""
    own = {name: source_sha256(import_callable(name)) for name in metrics if is_callable_spec(name)}
    return problem.hashes | ({"metrics": own} if own else {})


def begin_task(job: Job, problem: Problem, host: Host) -> Task:
    """Return the task of a job, with everything decided that is decided once.

    Raises:
        UserError: If the problem does not allow it.
    """
    if job.where == SHARDS:
        return ShardsTask(job, problem, host)
    directions = job.tensors()
    measures = build_measures(job.metrics, problem, directions)
    if job.where == CHECKPOINTS:
        directions = whole_model(problem.model)
    choices = job.choices
    if host.proves or (job.is_tuned and host.threads > 1):
        choices = tried_choices(job, problem, measures, directions, host)
    if not job.is_tuned:
        own = None
        if host.proves:
            given = job.study, problem, directions, measures.samples, choices
            threads = 1 if choices.one_lane else host.threads
            found, record = decide(*given, host.device, threads, host.note, host.busy)
            own = json.dumps(found.record() | {"precision_error": record}).encode()
        choices = Choices.of(json.loads(host.agree(own)))
    host = replace(host, threads=1) if choices.one_lane else host
    return PlacesTask(job, problem, measures, directions, choices, host)
