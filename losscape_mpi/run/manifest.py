"""What a surface file says of itself: what defines its result, and what made it."""

from __future__ import annotations

import logging
import os
import platform
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.run.choice import chosen_points
from losscape_mpi.run.prepare import Prepared
from losscape_mpi.scheduler import job_identifier
from losscape_mpi.store.create import back_up, create_surface
from losscape_mpi.store.layout import FORMAT, to_json
from losscape_mpi.store.writer import SurfaceWriter
from losscape_mpi.study.config import Study
from losscape_mpi.study.identity import fingerprint, identity

logger = logging.getLogger(__name__)

MAX_STORED_DIRECTION_BYTES = 256 << 20


def open_output(
    prepared: Prepared,
    choices: Mapping[str, Any],
    launcher: str,
    fresh: bool,
    reference: np.ndarray,
) -> SurfaceWriter:
    """Return the writer of the surface file, which is created if there is none.

    Args:
        prepared: What is computed.
        choices: The record of what was chosen.
        launcher: What the provenance says about MPI.
        fresh: Whether an existing file is moved aside.
        reference: The first worker's reference row, kept in a new file to compare later ones with.
    """
    path, wanted = prepared.study.output, prepared.manifest
    if wanted is None:
        wanted = make_manifest(prepared, choices)
        if fresh and path.exists():
            logger.info("%s: the old file is kept as %s", path, back_up(path).name)
        stored = prepared.directions
        size = sum(a.nbytes for direction in stored.values() for a in direction.values())
        create_surface(
            path,
            to_json(wanted),
            to_json(make_provenance(prepared.study, launcher, reference)),
            prepared.places.axes,
            prepared.columns,
            stored if size <= MAX_STORED_DIRECTION_BYTES else {},
            chosen_points(prepared.places, wanted["fingerprint"]),
        )
    writer = SurfaceWriter(path)
    if to_json(writer.manifest) != to_json(wanted):
        writer.close()
        raise UserError(f"{path} was replaced by another run meanwhile; run again to look at it")
    job = job_identifier(os.environ)
    writer.start_run(datetime.now(UTC).timestamp(), socket.gethostname(), os.getpid(), job)
    return writer


def make_manifest(prepared: Prepared, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return what defines the result, see docs/file-format.md.

    Args:
        prepared: What is computed.
        choices: Fields of `Choices`, and how the precision was proved under `precision_error`.
    """
    asked = identity(prepared.study)
    return {
        "format": FORMAT,
        "study": asked,
        "hashes": prepared.hashes,
        "splits": {
            name: {"samples": len(split.targets), "available": split.available}
            for name, split in prepared.problem.splits.items()
        },
        **prepared.record,
        "choices": dict(choices),
        "fingerprint": fingerprint(asked, prepared.hashes),
    }


def make_provenance(study: Study, launcher: str, reference: np.ndarray) -> dict[str, Any]:
    """Return what makes the file: no part of its identity."""
    checkpoint = study.problem.checkpoint
    return {
        "name": study.name,
        "checkpoint_name": checkpoint.name if checkpoint else None,
        "versions": {"python": platform.python_version()} | _package_versions(),
        "launcher": launcher,
        "center": reference.astype("<f8").tobytes().hex(),  # all bits, NaN and infinity too
        "arguments": sys.argv[1:],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
    }


def _package_versions() -> dict[str, str]:
    packages = ("losscape_mpi", "torch", "numpy", "h5py", "mpi4py")
    found = {d.name for d in metadata.distributions()}
    return {name: metadata.version(name) for name in packages if name in found}
