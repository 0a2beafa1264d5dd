"""Compute the loss surface of a study, or the missing points of one.

    mpirun -n 8 python -m losscape_mpi.surface [STUDY] [--set KEY=VALUE ...]

Without a study: the built-in one, a small network on scikit-learn's digits.
Without mpirun: the same run with one worker.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losscape_mpi.command import COMPLETE, RESUMABLE, CommandParser, run_command
from losscape_mpi.errors import QuietError, UserError
from losscape_mpi.farm.binding import binding_warning, oversubscription_warning
from losscape_mpi.farm.crew import Crew, follow, gather_hosts, refuse_shared_gpus
from losscape_mpi.farm.devices import RankHost, Seat, assign_seats
from losscape_mpi.farm.launcher import (
    abort_on_error,
    connect,
    leave_lost_ranks,
    library_name,
    read_launch,
)
from losscape_mpi.farm.messages import broadcast
from losscape_mpi.farm.supervisor import Patience
from losscape_mpi.interrupt import StopRequest, leave_signals_to_the_master
from losscape_mpi.progress import Progress
from losscape_mpi.study.config import FarmConfig, Study
from losscape_mpi.study.load import dump_study, load_study
from losscape_mpi.study.preview import preview

if TYPE_CHECKING:
    from losscape_mpi.evaluation.job import Job

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command on this rank; returns its exit code."""
    is_first = read_launch(os.environ).rank == 0
    options = _parse(argv) if is_first else _parse_quietly(argv)
    if options.print_study:
        if is_first:
            print(dump_study(_load(options)), end="")  # noqa: T201
        return COMPLETE
    comm = connect()
    try:
        hosts = gather_hosts(comm)
        if comm is not None and comm.Get_rank() > 0:
            return _work(comm, hosts)
        return _lead(options, comm, hosts)
    except UserError:
        raise  # the crew has been sent home in good order
    except BaseException as error:
        if comm is not None:
            abort_on_error(error)
        raise


def _work(comm: Any, hosts: list[RankHost]) -> int:
    leave_signals_to_the_master()
    logging.getLogger().setLevel(logging.WARNING)
    plan = broadcast(comm, None)
    if plan is not None:
        farm = FarmConfig.model_validate_json(plan)
        follow(comm, _seats(hosts, farm), _patience(farm))
    return COMPLETE


def _lead(options: argparse.Namespace, comm: Any, hosts: list[RankHost]) -> int:
    stopping = StopRequest(os.environ)
    try:
        study = _load(options)
    except UserError:
        if comm is not None:
            broadcast(comm, None)
        raise
    if comm is not None:
        broadcast(comm, study.farm.model_dump_json().encode())
    seats = _seats(hosts, study.farm)
    for warning in (binding_warning(hosts, seats), oversubscription_warning(hosts, seats)):
        if warning is not None:
            logger.warning("warning: %s", warning)
    with Crew(comm, seats, _patience(study.farm)) as crew:
        code = _compute(study, options, crew, seats, stopping, library_name(comm))
    if crew.has_lost_ranks:
        leave_lost_ranks(comm, code)
    return code


def _seats(hosts: list[RankHost], farm: FarmConfig) -> list[Seat]:
    return assign_seats(hosts, farm.device, farm.threads, farm.master_computes)


def _patience(farm: FarmConfig) -> Patience:
    timeout = farm.point_timeout
    return Patience(farm.retries, None if timeout == "auto" else float(timeout))


def _load(options: argparse.Namespace) -> Study:
    study = load_study(options.study, options.set)
    if options.output is not None:
        study = study.model_copy(update={"output": options.output})
    return preview(study) if options.preview else study


def _compute(
    study: Study,
    options: argparse.Namespace,
    crew: Crew,
    seats: list[Seat],
    stopping: StopRequest,
    launcher: str,
) -> int:
    # Here and not above: torch takes seconds to import, while the workers start theirs.
    from losscape_mpi.evaluation.job import Job
    from losscape_mpi.prepare import choices_for, prepare
    from losscape_mpi.recorder import Run, report_complete

    task = prepare(study, options.fresh, takes_fewer=options.preview)
    if task.is_complete:
        return report_complete(task)
    devices = crew.introductions(stopping)
    if stopping():
        logger.info("stopped by %s before the first point", stopping.reason)
        return RESUMABLE
    refuse_shared_gpus(devices, study.farm.share_gpu)
    job = Job(task.study, choices_for(task, devices), task.hashes, task.directions)
    choices = _choices(task.manifest, job, crew, stopping)
    if choices is None:
        logger.info("stopped by %s before the first point", stopping.reason)
        return RESUMABLE
    with Run(task, choices, devices, launcher, options.fresh) as run:
        if len(run.points):
            crew.tell_losses_to(run.lose)
            if task.manifest is not None:
                crew.send_job(job.to_bytes())
            done = task.grid.size - len(run.points)
            with Progress(study.name, task.grid.size, done, len(seats)) as run.progress:
                crew.run(
                    run.first_points, len(task.columns), run.ready, run.take, stopping, run.then
                )
        return run.report(stopping.reason)


def _choices(
    manifest: dict[str, Any] | None, job: Job, crew: Crew, stopping: StopRequest
) -> dict[str, Any] | None:
    """Return the choices of the existing file, or those that a worker makes for a new one.

    None if the run shall stop.
    """
    if manifest is not None:
        return manifest["choices"]
    crew.send_job(replace(job, is_tuned=False).to_bytes())
    text = crew.final_choices(stopping)
    return None if text is None else json.loads(text)


def _parse_quietly(argv: Sequence[str] | None) -> argparse.Namespace:
    # Every rank finds the same mistake, or the same --help: rank 0 alone speaks.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return _parse(argv)
        except UserError as error:
            raise QuietError(str(error)) from error


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser(
        prog="python -m losscape_mpi.surface",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", nargs="?", type=Path, help="YAML file; default: built-in digits")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one setting, e.g. grid.alpha=[-1,1,5]; repeatable",
    )
    parser.add_argument("-o", "--output", type=Path, help="surface file (default: the study's)")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="keep an existing file under a backup name and start anew",
    )
    parser.add_argument(
        "--preview",
        action="store_true",
        help="at most 11 points an axis and 256 samples, into NAME.preview.h5",
    )
    parser.add_argument(
        "--print-study", action="store_true", help="print the study with every default, and stop"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main)
