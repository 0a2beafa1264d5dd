"""The engine: a study's missing points, computed by a pool, stored in its file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Protocol

from losscape_mpi.farm.pool import Pool, refuse_shared_gpus
from losscape_mpi.run.outcome import Outcome, already_complete, stopped_early
from losscape_mpi.run.prepare import Prepared, prepare, starting_choices
from losscape_mpi.run.progress import Progress
from losscape_mpi.run.recorder import Recorder
from losscape_mpi.run.verdict import surface_verdict
from losscape_mpi.study.config import Study
from losscape_mpi.task.job import Job
from losscape_mpi.terminal.pace_text import format_duration


class Stopping(Protocol):
    """Whether a run shall end, and why."""

    @property
    def reason(self) -> str:
        """What asked for it; empty if nothing did."""

    def __call__(self) -> bool:
        """Return whether the run should end."""


class Never:
    """A run that nothing stops softly."""

    reason = ""

    def __call__(self) -> bool:
        """Return no."""
        return False


def compute(
    study: Study,
    pool: Pool,
    stopping: Stopping,
    *,
    launcher: str = "none",
    fresh: bool = False,
    takes_fewer: bool = False,
) -> Outcome:
    """Compute the missing points of a study; the pool is left to whoever made it.

    Args:
        study: The resolved study.
        pool: The workers.
        stopping: Polled; True ends the run early, with everything stored that is computed.
        launcher: What the provenance says about MPI.
        fresh: Whether an existing file is moved aside.
        takes_fewer: Whether the study may take fewer samples than it says (`prepare`).

    Raises:
        UserError: If the study cannot be computed, or a file cannot be written.
    """
    began = time.monotonic()
    prepared = prepare(study, fresh, takes_fewer=takes_fewer)
    if prepared.existing is not None and prepared.is_complete:
        existing = prepared.existing
        return already_complete(study.output, existing.counts(), surface_verdict(existing))
    devices = pool.introductions(stopping)
    if stopping():
        return _stopped_early(prepared, stopping)
    refuse_shared_gpus(devices, study.farm.share_gpu)
    job = prepared.job(starting_choices(prepared, devices))
    choices = _choices(prepared, job, pool, stopping)
    if choices is None:
        return _stopped_early(prepared, stopping)
    with Recorder(prepared, choices, devices, launcher, fresh) as recorder:
        if recorder.is_complete:  # another run has completed it meanwhile
            return already_complete(study.output, recorder.counts() or {}, recorder.verdict())
        _fill(prepared, job, recorder, pool, stopping)
        if (counts := recorder.counts()) is None:
            return _stopped_early(prepared, stopping)
        spent = format_duration(time.monotonic() - began)
        return recorder.outcome(counts, stopping.reason, spent)


def _fill(
    prepared: Prepared, job: Job, recorder: Recorder, pool: Pool, stopping: Callable[[], bool]
) -> None:
    pool.tell_losses_to(recorder.lose)
    if prepared.manifest is not None:
        pool.begin(job.to_bytes())
    total = prepared.places.size
    done = total - len(recorder.points)
    with Progress(prepared.study.name, total, done, pool.size) as recorder.progress:
        if not pool.run(recorder.stages(), recorder.ready, stopping):
            pool.stop()  # what is on its way is still taken


def _choices(
    prepared: Prepared, job: Job, pool: Pool, stopping: Callable[[], bool]
) -> dict[str, Any] | None:
    """Return the choices of the existing file, or those that a worker makes for a new one.

    None if the run shall stop.
    """
    if prepared.manifest is not None:
        return prepared.manifest["choices"]
    pool.begin(job.to_bytes())
    text = pool.decision(stopping)
    return None if text is None else json.loads(text)


def _stopped_early(prepared: Prepared, stopping: Stopping) -> Outcome:
    existing = prepared.existing
    counts = None if existing is None else existing.counts()
    return stopped_early(prepared.study.output, counts, stopping.reason)
