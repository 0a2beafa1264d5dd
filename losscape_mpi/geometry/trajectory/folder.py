"""Which files of a folder are the checkpoints of a path, told by what they hold."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.trajectory.checkpoint import read_header
from losscape_mpi.problem.checkpoint_file import (
    NoStateError,
    in_words,
    is_safetensors,
    looks_pickled,
    names_in,
)
from losscape_mpi.problem.names import clean_names

logger = logging.getLogger(__name__)

SUFFIXES = (".pt", ".pth", ".th", ".t7", ".safetensors")  # taken first, whatever lies beside them
_BESIDE = re.compile(r"optim|sched|scaler|rng|random", re.IGNORECASE)  # in the name of a file
STATE_OF_TRAINING = "optimizer/"  # begins names in the state that losscape_mpi.train saves


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the files of a folder that hold parameters of one network, in no order.

    Files with the usual endings are taken where there are some, else files under any name.
    States of optimizers, schedulers and generators are left out, and one line says so. A damaged
    file stays: reading it says what is wrong.

    Raises:
        UserError: If there is none.
    """
    files = [p for p in folder.iterdir() if not p.name.startswith(".") and not p.is_dir()]
    usual = [path for path in files if path.suffix.lower() in SUFFIXES]
    found = _of_one_network(folder, {path: _names(path) for path in usual})
    if not found:
        others = [path for path in files if path not in usual and _looks_right(path)]
        found = _of_one_network(folder, {path: _names(path) for path in usual + others})
    if not found:
        raise UserError(
            f"{folder} holds no checkpoint, expected files of torch.save or safetensors: name the "
            "folder of a training path"
        )
    return found


def _of_one_network(folder: Path, named: Mapping[Path, frozenset[str] | None]) -> list[Path]:
    """Return the files that share names with the one that holds most, and damaged ones."""
    most = max((names for names in named.values() if names), key=len, default=frozenset())
    kept = [path for path, names in named.items() if names and names & most]
    endings = {*SUFFIXES, *(path.suffix.lower() for path in kept)}
    # Another network's file is no part of the path, and reading it says so.
    others = [path for path, names in named.items() if names and path not in kept]
    kept += [p for p in others if p.suffix.lower() in endings and not _BESIDE.search(p.name)]
    kept += [p for p, names in named.items() if names is None and p.suffix.lower() in endings]
    if kept and len(kept) < len(named):
        _tell(folder, in_words(sorted(path.name for path in named if path not in kept)))
    return kept


@functools.cache
def _tell(folder: Path, names: str) -> None:
    logger.info("%s: left out %s, which hold no parameters of this network", folder, names)


def _names(path: Path) -> frozenset[str] | None:
    """Return the names of a file's tensors, none where it holds no network; None if damaged."""
    try:
        status = path.stat()
        return _names_of(path, status.st_size, status.st_mtime_ns)
    except NoStateError:
        return frozenset()
    except (UserError, OSError):
        return None


@functools.lru_cache(maxsize=10_000)
def _names_of(path: Path, size: int, changed_ns: int) -> frozenset[str]:  # noqa: ARG001
    header = read_header(path)
    found: Sequence[frozenset[str]]
    if header is not None:
        found = [frozenset(clean_names(name for name in header if not name.startswith("__")))]
    else:
        found = [frozenset(clean_names(names)) for names in names_in(path)]
    most = max(found, key=len)
    return frozenset() if any(name.startswith(STATE_OF_TRAINING) for name in most) else most


def _looks_right(path: Path) -> bool:
    try:
        return path.is_file() and (is_safetensors(path) or looks_pickled(path))
    except OSError:
        return False
