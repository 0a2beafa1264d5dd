"""What a user should know of a job before it waits in a queue: one line for each worry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from losscape_mpi.batch.config import JobConfig
from losscape_mpi.errors import UserError
from losscape_mpi.study.config import Study

SHORT_S = 600  # below it the margin of the soft stop is most of the run
MARGIN_S = 300  # --signal in the templates; SLURM may be a minute early


def check_outputs(studies: Sequence[Study]) -> None:
    """Refuse studies that would write the same surface file.

    Raises:
        UserError: If two studies have one output.
    """
    seen: dict[str, str] = {}
    for study in studies:
        output = str(study.output)
        if output in seen:
            raise UserError(
                f"the studies {seen[output]} and {study.name} both write {output}; "
                "give each its own output"
            )
        seen[output] = study.name


def check_names(names: Sequence[str]) -> None:
    """Refuse names of files that a script of a batch system should not hold.

    Raises:
        UserError: If one has a control character, such as the end of a line, or is no text.
    """
    for name in names:
        if re.search(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]", name):
            raise UserError(
                f"found the name {name!r}, expected one without control characters: a batch script "
                "holds it; rename the file, or set another output"
            )


def warnings(job: JobConfig, studies: Sequence[Study]) -> list[str]:
    """Return what is likely wrong with a job, one line each."""
    lines = list(_time(job))
    for study in studies:
        lines += [f"{study.name}: {line}" for line in (*_gpus(job, study), *_files(study))]
    return lines


def _time(job: JobConfig) -> Iterator[str]:
    if job.time_s < SHORT_S:
        left = max(0, job.time_s - MARGIN_S)
        yield (
            f"time: {job.time} leaves at most {left} s for computing, because the run stops "
            f"{MARGIN_S} s before the limit; give it {SHORT_S // 60} minutes or more"
        )


def _gpus(job: JobConfig, study: Study) -> Iterator[str]:
    gpus = job.gpus_per_node or (job.gpus_per_task or 0) * job.ranks_per_node
    # On one node the master may be the rank without a GPU; other nodes have workers only.
    spare = int(job.nodes == 1 and study.farm.master_computes is not True)
    ranks = job.ranks_per_node
    if gpus == 0:
        if study.farm.device == "cuda":
            yield "farm.device is cuda, but no GPU is asked for; set gpus_per_node"
        return
    if study.farm.device == "cpu":
        yield f"farm.device is cpu: the {gpus} GPUs of each node would stay idle"
    elif ranks > gpus + spare and not study.farm.share_gpu:
        yield (
            f"{ranks} ranks per node share {gpus} GPUs, which the run refuses; set "
            f"tasks_per_node: {gpus}, or farm.share_gpu: true in the study"
        )
    elif ranks < gpus:
        yield f"{gpus - ranks} of {gpus} GPUs per node would stay idle; set tasks_per_node: {gpus}"


def _files(study: Study) -> Iterator[str]:
    for path in (study.problem.checkpoint, study.problem.data.root, *study.plane.all_input_paths()):
        if path is not None and not path.exists():
            yield f"{path} does not exist here; the run needs it"
