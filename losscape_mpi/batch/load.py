"""From YAML files and overrides to a checked job."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from losscape_mpi.batch.config import JobConfig, SiteConfig
from losscape_mpi.errors import UserError
from losscape_mpi.study.load import apply_overrides, read_yaml, validate


def load_job(path: Path, overrides: Sequence[str] = ()) -> JobConfig:
    """Return the checked job of a YAML file; its study paths are absolute.

    Args:
        path: The job file; its paths are relative to its folder.
        overrides: Texts such as `nodes=2`; paths in them are relative to the current folder.

    Raises:
        UserError: If the file or an override is not a valid job; one line that says why.
    """
    raw = _absolute(read_yaml(path), path.parent)
    raw = _absolute(apply_overrides(raw, overrides, JobConfig), Path.cwd())
    return validate(JobConfig, raw, f"{path} with --set" if overrides else path)


def load_site(path: Path | None, default: Path) -> SiteConfig:
    """Return the site's settings.

    Args:
        path: The file that the user named, or None.
        default: The file that counts otherwise, if it exists.

    Raises:
        UserError: If the file cannot be read or is not valid.
    """
    if path is None and not default.exists():
        return SiteConfig()
    path = path or default
    return validate(SiteConfig, _absolute(read_yaml(path), path.parent), path)


def with_site(job: JobConfig, site: SiteConfig) -> JobConfig:
    """Return a job with the site's settings where it has none; sbatch options add up."""
    added = {
        key: getattr(site, key)
        for key in SiteConfig.model_fields
        if key != "sbatch" and getattr(job, key) is None
    }
    return job.model_copy(update={**added, "sbatch": [*site.sbatch, *job.sbatch]})


def check_job(job: JobConfig) -> None:
    """Refuse what cannot be right.

    Raises:
        UserError: If all ranks of a node would see the same GPU, or GPUs are asked for twice.
    """
    if job.gpus_per_task and job.template == "mpirun":
        raise UserError(
            "gpus_per_task puts all ranks of mpirun on one GPU; found it with template: mpirun, "
            f"expected gpus_per_node: {job.gpus_per_task * job.ranks_per_node}"
        )
    if job.gpus_per_task and job.gpus_per_node is not None:
        raise UserError("found gpus_per_task and gpus_per_node, expected one of them")


def _absolute(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    changed = copy.deepcopy(raw)
    study = changed.get("study")
    if isinstance(study, list):
        changed["study"] = [_from(folder, item) for item in study]
    elif isinstance(study, str):
        changed["study"] = _from(folder, study)
    if isinstance(changed.get("templates"), str):
        changed["templates"] = _from(folder, changed["templates"])
    return changed


def _from(folder: Path, path: Any) -> Any:
    if not isinstance(path, str):
        return path
    return str((folder / os.path.expanduser(path)).resolve())
