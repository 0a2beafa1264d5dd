"""The batch scripts of a job, as text: a pure function of the job and the templates."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from losscape_mpi.batch.config import JobConfig
from losscape_mpi.scheduler import Request, Scheduler

MAX_NAME = 100  # characters; a queue shows a few


@dataclass(frozen=True)
class Step:
    """One batch script of a chain.

    Attributes:
        title: What it does, such as surface.
        script: What the batch system gets on standard input.
        follows: Whether it starts only after the step before has ended well.
    """

    title: str
    script: str
    follows: bool


def compose_steps(
    scheduler: Scheduler,
    job: JobConfig,
    name: str,
    outputs: Sequence[Path],
    templates: Path,
    python_folder: Path,
) -> list[Step]:
    """Return the chain of a job: the surfaces, then their figures.

    Args:
        scheduler: The batch system that gets it.
        job: The job, with the site's settings.
        name: What the queue shows.
        outputs: Surface file of each study, relative to the folder the job is submitted from.
        templates: Folder of the templates.
        python_folder: Where `python` is, if the job's setup does not say.
    """
    surface = _surface(scheduler, job, name, templates, python_folder)
    steps = [Step("surface", surface, follows=False)]
    if job.then is not None:
        render = _render(scheduler, job, name, outputs, templates, python_folder)
        steps.append(Step("render", render, follows=True))
    return steps


def compose(
    scheduler: Scheduler, template: str, options: Sequence[str], prelude: Sequence[str]
) -> str:
    """Return a template with other options, and shell lines before its own.

    Args:
        scheduler: The batch system that gets it.
        template: Text of the template.
        options: Options of the batch system; a template's option of the same name is dropped.
        prelude: Shell lines that run first.
    """
    lines = template.splitlines()
    dropped = {*scheduler.decided, *(option_name(option) for option in options)}
    own = [line for line in lines[1:] if line.startswith(scheduler.directive)]
    kept = [line for line in own if option_name(line.split(maxsplit=1)[1]) not in dropped]
    rest = [line for line in lines[1:] if not line.startswith(scheduler.directive)]
    ours = [f"{scheduler.directive} {_quoted(option)}" for option in options]
    return "\n".join([lines[0], *ours, *kept, *prelude, *rest]) + "\n"


def option_name(option: str) -> str:
    """Return the name of a long option: --nodes of --nodes=2."""
    return option.replace(" ", "=", 1).split("=", 1)[0]


def setup_line(job: JobConfig, python_folder: Path) -> str:
    """Return the shell line that makes `python` the right one on a node."""
    parts = [shlex.join(["module", "load", *job.modules])] if job.modules else []
    parts.append(job.setup or f"export PATH={shlex.quote(str(python_folder))}:$PATH")
    return " && ".join(parts)


def as_shell(scheduler: Scheduler, steps: Sequence[Step]) -> str:
    """Return a shell script that submits the chain: what a dry run shows."""
    blocks = []
    for number, step in enumerate(steps):
        words = scheduler.command("$job" if step.follows else "")
        command = " ".join(f'"{word}"' if "$" in word else word for word in words)
        mark = _mark(step)
        blocks.append(
            f"# {number + 1}. {step.title}\njob=$({command} <<'{mark}'\n{step.script}{mark}\n)\n"
        )
    return "\n".join(blocks)


def job_name(stem: str) -> str:
    """Return the name of a job file as the queue may show it: letters, digits and . _ + -."""
    return re.sub(r"[^\w.+-]+", "_", stem).lstrip("-")[:MAX_NAME] or "losscape"


def _mark(step: Step) -> str:
    """Return a line that ends a here-document: one that the script itself cannot hold."""
    digest = hashlib.sha256(step.script.encode(errors="surrogateescape")).hexdigest()
    mark = f"END_OF_{step.title.upper()}_{digest[:16]}"
    while mark in step.script:
        mark += "_"
    return mark


def _surface(
    scheduler: Scheduler, job: JobConfig, name: str, templates: Path, python_folder: Path
) -> str:
    launcher = job.template or "srun"
    is_array = len(job.study) > 1
    request = Request(
        name,
        job.account,
        job.partition,
        job.nodes,
        job.ranks_per_node,
        job.cpus_per_task,
        job.time,
        job.gpus_per_node,
        job.gpus_per_task,
        array=(len(job.study), job.array_limit) if is_array else None,
    )
    prelude = _exports(LOSSCAPE_SETUP=setup_line(job, python_folder))
    prelude += _exports(LOSSCAPE_PMI=job.pmi) if job.pmi and launcher == "srun" else []
    if is_array:
        prelude += _exports(LOSSCAPE_LAUNCHER=launcher, LOSSCAPE_TEMPLATES=str(templates))
    prelude.append(shlex.join(["set", "--", *map(str, job.study)]))
    template = _read(scheduler, templates, "array" if is_array else f"surface.{launcher}")
    return compose(scheduler, template, [*scheduler.options(request), *job.sbatch], prelude)


def _render(
    scheduler: Scheduler,
    job: JobConfig,
    name: str,
    outputs: Sequence[Path],
    templates: Path,
    python_folder: Path,
) -> str:
    request = Request(f"{name}-render", job.account, job.partition, nodes=1, tasks_per_node=1)
    words = [
        *(_as_file(str(output)) for output in outputs),
        *(job.then.arguments() if job.then else []),
    ]
    prelude = _exports(LOSSCAPE_SETUP=setup_line(job, python_folder))
    prelude.append(shlex.join(["set", "--", *words]))
    template = _read(scheduler, templates, "render")
    return compose(scheduler, template, scheduler.options(request), prelude)


def _as_file(name: str) -> str:
    """Return the name of a file that no command takes for an option."""
    return f"./{name}" if name.startswith("-") else name


def _exports(**variables: str) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def _read(scheduler: Scheduler, templates: Path, name: str) -> str:
    return (templates / f"{name}{scheduler.ending}").read_text(encoding="utf-8")


def _quoted(option: str) -> str:
    # sbatch splits a #SBATCH line at spaces, except inside double quotes.
    return f'"{option}"' if " " in option and '"' not in option else option
