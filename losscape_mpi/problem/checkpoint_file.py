"""What a checkpoint file holds, told by its content and read without running its code."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import safetensors.torch
from torch import Tensor

from losscape_mpi.errors import UserError
from losscape_mpi.problem.foreign_file import check_regular, check_zip, unreadable
from losscape_mpi.problem.pickled import StandIn, load_pickled
from losscape_mpi.problem.shard import WHOLE_FOLDER, in_folder, shard_files

logger = logging.getLogger(__name__)

State = dict[str, Tensor]


class NoStateError(UserError):
    """A readable file that holds no tensors by name: an optimizer's state, for instance."""


WRAPPERS = (  # the names under which training scripts keep the parameters, plain ones first
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module"),
    *("params", "ema_state_dict", "state_dict_ema", "model_ema", "ema"),
)
NAMED = 4  # of a list of names, in a message
MAX_DEPTH = 4  # a pickle may hold itself
_BESIDE = re.compile(r"(^|[._])(optim|opt_|lr_sched|sched|scaler|rng|amp|grad)", re.IGNORECASE)


def read_states(path: Path) -> dict[str, State]:
    """Return what a checkpoint holds by name of tensors, by the dotted key where each of it lies.

    Args:
        path: A file of torch.save or safetensors under any name, an index of shards
            (`*.index.json`), or a folder with one of these under a usual name.

    Returns:
        At least one state, "" where the file is one; those of optimizers only if there is no other.

    Raises:
        UserError: If the file is missing, damaged, of another kind, or holds no tensors by name.
    """
    states, others = _read(path)
    if others:
        logger.info("%s: left out %s, which are no tensors", path, in_words(others))
    return states


def names_in(path: Path) -> list[frozenset[str]]:
    """Return the names of the tensors of each state that a checkpoint holds.

    Raises:
        UserError: As `read_states` does.
    """
    return [frozenset(state) for state in _read(path)[0].values()]


def read_tensors(path: Path) -> State:
    """Return the tensors of a .safetensors file by the names it gives them, on the CPU.

    Raises:
        UserError: If the file is missing, damaged, or of another kind.
    """
    check_regular(path, "file")
    return _read_safetensors(path)


def files_of(path: Path) -> list[Path]:
    """Return the files that a checkpoint is read from: itself, or an index and its shards."""
    path = in_folder(path)
    check_regular(path, "checkpoint")
    return [path, *sorted(set(shard_files(path).values()))]


def is_safetensors(path: Path) -> bool:
    """Return whether a file begins like a .safetensors file, whatever its name."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < 1 << 40


def in_words(names: Sequence[str]) -> str:
    """Return the first few names and how many more there are."""
    shown = ", ".join(names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"


def looks_pickled(path: Path) -> bool:
    """Return whether a file begins like one of torch.save, in its new or its old format."""
    with path.open("rb") as file:
        start = file.read(2)
    return start in (b"PK", b"\x80\x02")


def _read(path: Path) -> tuple[dict[str, State], list[str]]:
    """Return the states of a file, and what stands among the tensors of one and is none."""
    path = in_folder(path)
    check_regular(path, "checkpoint")
    if is_safetensors(path):
        return {"": _read_safetensors(path)}, []
    if shards := shard_files(path):
        return {"": _read_shards(path, shards)}, []
    check_zip(path)
    loaded = load_pickled(path)
    states = dict(_states(loaded, ""))
    if not states or not isinstance(loaded, Mapping):
        raise _no_state(path, loaded)
    others = [str(key) for key in loaded if key not in states.get("", loaded)]
    plain = {key: state for key, state in states.items() if not _BESIDE.search(key)}
    return plain or states, others if list(states) == [""] else []


def _read_shards(path: Path, shards: Mapping[str, Path]) -> State:
    state: State = {}
    for file in sorted(set(shards.values())):
        for part in read_states(file).values():
            state.update(part)
    if missing := [name for name in shards if name not in state]:
        raise UserError(
            f"{path}: {len(missing)} tensors are in no shard (first {missing[0]}), expected all "
            f"{len(shards)}: {WHOLE_FOLDER}"
        )
    return state


def _read_safetensors(path: Path) -> State:
    try:
        return safetensors.torch.load_file(path)
    except Exception:  # whatever a foreign or damaged file makes the parser say
        raise unreadable(path) from None


def _states(found: object, key: str, depth: int = 0) -> Iterator[tuple[str, State]]:
    """Yield every mapping that holds tensors by name, plain names first."""
    if not isinstance(found, Mapping) or depth > MAX_DEPTH:
        return
    named = {name: value for name, value in found.items() if isinstance(name, str)}
    tensors = {name: value.detach() for name, value in named.items() if isinstance(value, Tensor)}
    if tensors:
        yield key, tensors
    for name in sorted(named, key=lambda n: WRAPPERS.index(n) if n in WRAPPERS else len(WRAPPERS)):
        yield from _states(named[name], f"{key}.{name}".lstrip("."), depth + 1)


def _no_state(path: Path, loaded: object) -> NoStateError:
    whole = loaded if isinstance(loaded, StandIn) else None
    if isinstance(loaded, Mapping):
        inner = [value for value in loaded.values() if isinstance(value, StandIn)]
        whole = inner[0] if inner else None
    if whole is not None:
        return NoStateError(
            f"{path} holds a whole Python object ({whole.name}), whose code was not run: "
            "save model.state_dict() alone and name that file"
        )
    held = list(loaded) if isinstance(loaded, Mapping) else type(loaded).__name__
    return NoStateError(
        f"{path} holds {held}, expected tensors by parameter name (model.state_dict())"
    )
