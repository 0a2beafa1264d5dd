"""The batch systems: a row for each, and what is asked of the one that a process runs under.

All that is SLURM's stands here and in the templates (slurm/). Another batch system is one more row
of `SCHEDULERS` and its own templates.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

QUERY_S = 10.0


@dataclass(frozen=True)
class Request:
    """What a job asks for; None, and 0 GPUs, ask for nothing.

    Attributes:
        name: What the queue shows.
        nodes: Of each element of an array.
        tasks_per_node: MPI ranks on each node.
        array: Elements, and how many of them may run at a time.
    """

    name: str
    account: str | None
    partition: str | None
    nodes: int
    tasks_per_node: int
    cpus_per_task: int | None = None
    time: str | None = None
    gpus_per_node: int | None = None
    gpus_per_task: int | None = None
    array: tuple[int, int | None] | None = None


@dataclass(frozen=True)
class Scheduler:
    """A batch system.

    Attributes:
        name: As people call it.
        job: Variable that holds a job's identifier, inside it.
        restarts: Variable that says how often the job was requeued; unset for never.
        end: When a job must end, as Unix time; None if that is not known.
        is_over: Whether a job runs no longer; None if that is not known.
        command: Words that submit the script on their standard input, to start after the job of
            an identifier has ended well, or at once for "".
        identifier: The new job's, of what that command prints.
        watch: The command that shows jobs in the queue.
        cancel: The command that cancels them.
        options: What asks for a request, as words of the command or lines of a script.
        decided: Options that a request decides, also by not having them.
        keys: The keys of a job file that say the same as an option, by the option.
        directive: What begins a script's lines of options.
        ending: Of its templates' names.
    """

    name: str
    job: str
    restarts: str
    end: Callable[[str], float | None]
    is_over: Callable[[str], bool | None]
    command: Callable[[str], list[str]]
    identifier: Callable[[str], str]
    watch: Callable[[Sequence[str]], str]
    cancel: Callable[[Sequence[str]], str]
    options: Callable[[Request], list[str]]
    decided: tuple[str, ...]
    keys: Mapping[str, str]
    directive: str
    ending: str


@dataclass(frozen=True)
class Job:
    """The batch job that a process runs in: its batch system, identifier, and past requeues."""

    scheduler: Scheduler
    identifier: str
    restarts: int

    def end(self) -> float | None:
        """Return when it must end as Unix time, or None if that is not known."""
        return self.scheduler.end(self.identifier)


def current_job(environment: Mapping[str, str]) -> Job | None:
    """Return the job that a process with this environment runs in; None outside of jobs."""
    for scheduler in SCHEDULERS:
        if identifier := environment.get(scheduler.job):
            return Job(scheduler, identifier, int(environment.get(scheduler.restarts, "0")))
    return None


def job_identifier(environment: Mapping[str, str]) -> str:
    """Return the identifier of the job that a process runs in; empty outside of jobs."""
    job = current_job(environment)
    return job.identifier if job else ""


def is_over(job: str) -> bool:
    """Return whether a job is known to run no longer; no batch system says otherwise."""
    answers = {scheduler.is_over(job) for scheduler in SCHEDULERS} - {None}
    return answers == {True}


def scheduler_here() -> Scheduler:
    """Return the batch system whose program to submit jobs is installed, else the first."""
    found = (s for s in SCHEDULERS if shutil.which(s.command("")[0]))
    return next(found, SCHEDULERS[0])


def _slurm_end(job: str) -> float | None:
    # SLURM_JOB_END_TIME would be simpler, but SLURM 22.05 does not set it.
    told = _squeue(job, "%e")
    try:
        return datetime.fromisoformat(told.stdout.strip()).timestamp() if told else None
    except ValueError:
        return None  # a job without a limit: N/A


def _slurm_is_over(job: str) -> bool | None:
    told = _squeue(job, "%T")
    if told is None:
        return None
    if told.returncode != 0:
        return True if "Invalid job id" in told.stderr else None
    return told.stdout.strip() in ("", "PENDING")  # pending: requeued, and not running yet


def _squeue(job: str, field: str) -> subprocess.CompletedProcess[str] | None:
    command = ["squeue", "--noheader", "--jobs", job, "--format", field]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=QUERY_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None


def _sbatch(after: str) -> list[str]:
    wait = [f"--dependency=afterok:{after}", "--kill-on-invalid-dep=yes"] if after else []
    return ["sbatch", "--parsable", *wait]


def _slurm_options(request: Request) -> list[str]:
    asked = {
        "--job-name": request.name,
        "--account": request.account,
        "--partition": request.partition,
        "--nodes": request.nodes,
        "--ntasks-per-node": request.tasks_per_node,
        "--cpus-per-task": request.cpus_per_task,
        "--time": request.time,
        "--gpus-per-node": request.gpus_per_node or None,
        "--gpus-per-task": request.gpus_per_task,
    }
    if request.array is not None:
        elements, limit = request.array
        asked["--array"] = f"0-{elements - 1}" + (f"%{limit}" if limit else "")
    return [f"{name}={value}" for name, value in asked.items() if value is not None]


SLURM = Scheduler(
    name="SLURM",
    job="SLURM_JOB_ID",
    restarts="SLURM_RESTART_COUNT",
    end=_slurm_end,
    is_over=_slurm_is_over,
    command=_sbatch,
    identifier=lambda told: told.strip().split(";")[0],  # ID;CLUSTER on some sites
    watch=lambda jobs: f"squeue -j {','.join(jobs)}",
    cancel=lambda jobs: f"scancel {' '.join(jobs)}",
    options=_slurm_options,
    decided=(
        *("--job-name", "--nodes", "--ntasks", "--ntasks-per-node", "--cpus-per-task"),
        *("--gpus-per-node", "--gpus-per-task", "--array"),
    ),
    keys={
        "--nodes": "nodes",
        "--ntasks": "tasks_per_node",
        "--ntasks-per-node": "tasks_per_node",
        "--cpus-per-task": "cpus_per_task",
        "--gpus": "gpus_per_node",
        "--gres": "gpus_per_node",
        "--gpus-per-node": "gpus_per_node",
        "--gpus-per-task": "gpus_per_task",
        "--time": "time",
        "--account": "account",
        "--partition": "partition",
        "--array": "array_limit",
    },
    directive="#SBATCH",
    ending=".sbatch",
)
SCHEDULERS = [SLURM]
