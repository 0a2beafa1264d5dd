"""Command: submit a job file to SLURM, the surfaces first and their figures after them."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from losscape_mpi.batch.advice import check_names, check_outputs, warnings
from losscape_mpi.batch.config import JobConfig
from losscape_mpi.batch.load import check_job, load_job, load_site, with_site
from losscape_mpi.batch.script import Step, as_shell, compose_steps, job_name
from losscape_mpi.command import COMPLETE, CommandParser, add_no_code, as_called, run_command
from losscape_mpi.errors import UserError
from losscape_mpi.resource import resource_folder
from losscape_mpi.scheduler import Scheduler, scheduler_here
from losscape_mpi.study.code import refuse_code
from losscape_mpi.study.load import load_study

logger = logging.getLogger(__name__)

SITE_FILE = Path("~/.config/losscape_mpi/site.yaml")
DESCRIPTION = """\
Submit a job file to SLURM: the surface of its study, or an array of several, and then the
figures. Surface files and figures are relative to the current folder, which all nodes must see."""


def main(argv: Sequence[str] | None = None) -> int:
    """Submit a job, or show what would be submitted; returns the exit code.

    Raises:
        UserError: If the job, a study or the site file is wrong, or the batch system refuses.
    """
    options = make_parser().parse_args(argv)
    site = load_site(options.site, SITE_FILE.expanduser())
    job = with_site(load_job(options.job, options.set), site)
    check_job(job)
    studies = [load_study(path) for path in job.study]
    if options.no_code:
        for path, study in zip(job.study, studies, strict=True):
            refuse_code(path, study.problem, study.metrics)
    check_outputs(studies)
    check_names([*map(str, job.study), *(str(study.output) for study in studies), str(Path.cwd())])
    outputs = [study.output for study in studies]
    _check_figures(options.job, job, outputs)
    for line in warnings(job, studies):
        logger.warning("warning: %s", line)
    folder = Path(sys.executable).parent
    scheduler = scheduler_here()
    templates = _templates(job, scheduler)
    steps = compose_steps(scheduler, job, job_name(options.job.stem), outputs, templates, folder)
    if options.dry_run:
        print(as_shell(scheduler, steps), end="")  # noqa: T201
        return COMPLETE
    numbers = _submit(scheduler, steps)
    status = as_called(f"python -m losscape_mpi.status {' '.join(map(str, outputs))}")
    print(  # noqa: T201
        f"watch them:  {scheduler.watch(numbers)}\n"
        f"             {status}\n"
        f"cancel them: {scheduler.cancel(numbers)}"
    )
    return COMPLETE


def _check_figures(path: Path, job: JobConfig, outputs: Sequence[Path]) -> None:
    """Read the figures' options as render will, hours later, so that a mistake is told now."""
    if job.then is None:
        return
    # Here and not above: it imports matplotlib, which a job without figures does not need.
    from losscape_mpi.figures.command.options import add_options, read_options

    parser = CommandParser("python -m losscape_mpi.render")
    add_options(parser)
    try:
        read_options(parser, [*map(str, outputs), *job.then.arguments()])
    except UserError as error:
        raise UserError(f"{path}: then: {error}") from error


def _submit(scheduler: Scheduler, steps: Sequence[Step]) -> list[str]:
    """Submit a chain and print a line for each job; returns their numbers."""
    program = scheduler.command("")[0]
    if shutil.which(program) is None:
        raise UserError(
            f"{program} is not found: submit on a login node of the cluster, or see --dry-run"
        )
    numbers: list[str] = []
    for step in steps:
        command = scheduler.command(numbers[-1] if step.follows else "")
        number = scheduler.identifier(_output_of(command, step))
        numbers.append(number)
        when = f", after job {numbers[-2]} has ended well" if step.follows else ""
        print(f"job {number}: {step.title}{when}", flush=True)  # noqa: T201
    return numbers


def _output_of(command: list[str], step: Step) -> str:
    done = subprocess.run(command, input=step.script, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        prefix = f"{command[0]}: error: "
        lines = [line.removeprefix(prefix) for line in done.stderr.splitlines()]
        raise UserError(f"{command[0]} refused the job {step.title}: {'; '.join(lines)}")
    return done.stdout


def _templates(job: JobConfig, scheduler: Scheduler) -> Path:
    folder = job.templates or resource_folder("slurm")
    if not (folder / f"array{scheduler.ending}").exists():
        raise UserError(
            f"{folder} holds no templates, expected array{scheduler.ending} and others; set "
            "templates in the site file to a folder that has them"
        )
    return folder


def make_parser() -> CommandParser:
    """Return the parser of the command line."""
    parser = CommandParser("python -m losscape_mpi.submit", description=DESCRIPTION)
    parser.add_argument("job", type=Path, metavar="JOB", help="job file, such as those in jobs")
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be submitted, as a shell script"
    )
    parser.add_argument(
        "--site", type=Path, metavar="FILE", help=f"site file (default: {SITE_FILE})"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one key of the job file, e.g. nodes=2; repeatable",
    )
    add_no_code(parser)
    return parser


if __name__ == "__main__":
    run_command(main)
