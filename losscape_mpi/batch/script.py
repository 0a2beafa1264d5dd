"""The batch scripts of a job, as text: a pure function of the job and the templates."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from losscape_mpi.batch.config import JobConfig

# Of a template's own options the job decides these, also by not having them.
DECIDED = (
    *("--job-name", "--nodes", "--ntasks", "--ntasks-per-node", "--cpus-per-task"),
    *("--gpus-per-node", "--gpus-per-task", "--array"),
)


@dataclass(frozen=True)
class Step:
    """One batch script of a chain.

    Attributes:
        title: What it does, such as surface.
        script: What sbatch gets on its standard input.
        follows: Whether it starts only after the step before has ended well.
    """

    title: str
    script: str
    follows: bool


def compose_steps(
    job: JobConfig, name: str, outputs: Sequence[Path], templates: Path, python_folder: Path
) -> list[Step]:
    """Return the chain of a job: the surfaces, then their figures.

    Args:
        job: The job, with the site's settings.
        name: What the queue shows.
        outputs: Surface file of each study, relative to the folder the job is submitted from.
        templates: Folder of the templates.
        python_folder: Where `python` is, if the job's setup does not say.
    """
    steps = [Step("surface", _surface(job, name, templates, python_folder), follows=False)]
    if job.then is not None:
        render = _render(job, name, outputs, templates, python_folder)
        steps.append(Step("render", render, follows=True))
    return steps


def compose(template: str, options: Sequence[str], prelude: Sequence[str]) -> str:
    """Return a template with other options, and shell lines before its own.

    Args:
        template: Text of the template.
        options: sbatch options; a template's option of the same name is dropped.
        prelude: Shell lines that run first.
    """
    lines = template.splitlines()
    dropped = {*DECIDED, *(option_name(option) for option in options)}
    own = [line for line in lines[1:] if line.startswith("#SBATCH")]
    kept = [line for line in own if option_name(line.split(maxsplit=1)[1]) not in dropped]
    rest = [line for line in lines[1:] if not line.startswith("#SBATCH")]
    ours = [f"#SBATCH {_quoted(option)}" for option in options]
    return "\n".join([lines[0], *ours, *kept, *prelude, *rest]) + "\n"


def option_name(option: str) -> str:
    """Return the name of a long option: --nodes of --nodes=2."""
    return option.replace(" ", "=", 1).split("=", 1)[0]


def setup_line(job: JobConfig, python_folder: Path) -> str:
    """Return the shell line that makes `python` the right one on a node."""
    parts = [shlex.join(["module", "load", *job.modules])] if job.modules else []
    parts.append(job.setup or f"export PATH={shlex.quote(str(python_folder))}:$PATH")
    return " && ".join(parts)


def as_shell(steps: Sequence[Step]) -> str:
    """Return a shell script that submits the chain: what a dry run shows."""
    blocks = []
    for number, step in enumerate(steps):
        wait = '--dependency="afterok:$job" --kill-on-invalid-dep=yes ' if step.follows else ""
        mark = f"END_OF_{step.title.upper()}"
        blocks.append(
            f"# {number + 1}. {step.title}\n"
            f"job=$(sbatch --parsable {wait}<<'{mark}'\n{step.script}{mark}\n)\n"
        )
    return "\n".join(blocks)


def _surface(job: JobConfig, name: str, templates: Path, python_folder: Path) -> str:
    launcher = job.template or "srun"
    is_array = len(job.study) > 1
    options = [
        *_shared_options(job, name),
        f"--nodes={job.nodes}",
        f"--ntasks-per-node={job.ranks_per_node}",
        f"--cpus-per-task={job.cpus_per_task}",
        f"--time={job.time}",
    ]
    if job.gpus_per_node:
        options.append(f"--gpus-per-node={job.gpus_per_node}")
    if job.gpus_per_task:
        options.append(f"--gpus-per-task={job.gpus_per_task}")
    prelude = _exports(LOSSCAPE_SETUP=setup_line(job, python_folder))
    prelude += _exports(LOSSCAPE_PMI=job.pmi) if job.pmi and launcher == "srun" else []
    if is_array:
        limit = f"%{job.array_limit}" if job.array_limit else ""
        options.append(f"--array=0-{len(job.study) - 1}{limit}")
        prelude += _exports(LOSSCAPE_LAUNCHER=launcher, LOSSCAPE_TEMPLATES=str(templates))
    prelude.append(shlex.join(["set", "--", *map(str, job.study)]))
    template = "array" if is_array else f"surface.{launcher}"
    return compose(_read(templates, template), [*options, *job.sbatch], prelude)


def _render(
    job: JobConfig, name: str, outputs: Sequence[Path], templates: Path, python_folder: Path
) -> str:
    options = [*_shared_options(job, f"{name}-render"), "--nodes=1", "--ntasks=1"]
    words = [*map(str, outputs), *(job.then.arguments() if job.then else [])]
    prelude = _exports(LOSSCAPE_SETUP=setup_line(job, python_folder))
    prelude.append(shlex.join(["set", "--", *words]))
    return compose(_read(templates, "render"), options, prelude)


def _shared_options(job: JobConfig, name: str) -> list[str]:
    options = [f"--job-name={name}"]
    options += [f"--account={job.account}"] if job.account else []
    options += [f"--partition={job.partition}"] if job.partition else []
    return options


def _exports(**variables: str) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def _read(templates: Path, name: str) -> str:
    return (templates / f"{name}.sbatch").read_text(encoding="utf-8")


def _quoted(option: str) -> str:
    # sbatch splits a #SBATCH line at spaces, except inside double quotes.
    return f'"{option}"' if " " in option and '"' not in option else option
