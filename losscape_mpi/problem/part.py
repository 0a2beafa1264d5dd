"""Which part of a checkpoint file is meant, where it holds several states of networks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from losscape_mpi.errors import UserError
from losscape_mpi.problem.checkpoint_file import State, in_words, read_states
from losscape_mpi.problem.fit import Fit, fits
from losscape_mpi.problem.names import Wanted, below, clean_state, same_values

logger = logging.getLogger(__name__)

WHOLE = "the top of the file"
_said: set[tuple[Path, str]] = set()


def read_parts(path: Path, key: str | None = None) -> dict[str, State]:
    """Return the states of a checkpoint file by dotted key, with clean names.

    Args:
        path: The file.
        key: The one that is meant: its dotted key, or what names begin with; None for all.

    Raises:
        UserError: If the file cannot be read, or has no such part.
    """
    states = {name: clean_state(state) for name, state in read_states(path).items()}
    if key is None:
        return states
    meant = {name: s for name, s in states.items() if f"{name}.".startswith(f"{key}.")}
    meant = meant or {f"{n}.{key}".lstrip("."): below(s, f"{key}.") for n, s in states.items()}
    if meant := {name: state for name, state in meant.items() if state}:
        return meant
    held = [name or WHOLE for name in states]
    heads = dict.fromkeys(n.partition(".")[0] for state in states.values() for n in state)
    raise UserError(
        f"{path} has no part {key!r}; it holds tensors at {in_words(held)}, whose names begin "
        f"with {in_words(list(heads))}: correct problem.checkpoint_key"
    )


def read_near_parts(path: Path, key: str | None) -> dict[str, State]:
    """Return the part of a file beside the center's: the key's, or all where it has none such.

    Raises:
        UserError: If the file cannot be read.
    """
    states = read_parts(path)
    if key is None:
        return states
    try:
        return read_parts(path, key)
    except UserError:
        return states


def choose(path: Path, states: Mapping[str, State], wanted: Wanted) -> State | None:
    """Return the tensors that fit a network, by its names; None where none do.

    Raises:
        UserError: If several fit that differ: which one is meant is the user's to say.
    """
    found = {}
    for name, state in states.items():
        for fit in fits(state, wanted):
            found[f"{name}.{fit.dropped}".strip(".")] = fit
    if not found:
        return None
    refuse_several(path, {name: fit.state for name, fit in found.items()})
    name, fit = next(iter(found.items()))
    _tell(path, name, fit)
    return fit.state


def refuse_several(path: Path, states: Mapping[str, State]) -> None:
    """Refuse states of one kind that differ.

    Raises:
        UserError: One line with the key of each.
    """
    first = next(iter(states.values()))
    if all(same_values(first, state) for state in states.values()):
        return
    held = [name or WHOLE for name in states]
    example = next(name for name in states if name)
    raise UserError(
        f"{path} holds {len(states)} networks that fit and differ ({in_words(held)}), expected "
        f"one: choose by problem.checkpoint_key, such as checkpoint_key: {example}"
    )


def _tell(path: Path, name: str, fit: Fit) -> None:
    if name:
        _say_once(path, f"parameters are read from {name!r}")
    if fit.ignored:
        _say_once(path, f"left out {in_words(fit.ignored)}, which are no part of the network")


def _say_once(path: Path, text: str) -> None:
    """Say something of a checkpoint, and not again of its like beside it in a path."""
    if (path.parent, text) not in _said:
        _said.add((path.parent, text))
        logger.info("%s: %s", path, text)
