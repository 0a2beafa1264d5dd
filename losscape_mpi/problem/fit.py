"""How a checkpoint's names fit those of a network: as they are, or without what stands before."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from torch import Tensor

from losscape_mpi.problem.checkpoint_file import State
from losscape_mpi.problem.names import COUNTERS, Wanted, below, equal, is_counter, same_kind

PREFIX_DEPTH = 4  # of wrappers around wrappers: ema.module.model.
# What training scripts and profilers (thop's total_ops) leave among the parameters: one number.
_BOOKKEEPING = re.compile(
    r"(global_|best_|last_|cur(rent)?_)?(epochs?|iters?|iterations?|steps?|num_updates|lr)|"
    r"total_(ops|params)|flops|macs|best_\w+|(train_|val_|test_)?(acc(uracy)?|loss|prec)\d*|"
    + "|".join(COUNTERS)
)
_BESIDE = re.compile(  # parts of a training around the network: its loss, its metrics
    r".*(loss|crit|metric|acc|auc|f1|precision|recall|confusion|eval|meter|queue).*|"
    r"(train|val|valid|test)(_.*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class Fit:
    """A checkpoint's tensors by the names of a network.

    Attributes:
        state: Tensors by the network's names; only counters may be missing.
        dropped: The prefix that was taken off the checkpoint's names.
        ignored: Entries of the checkpoint that are no part of the network.
    """

    state: State
    dropped: str
    ignored: list[str]


def fits(state: State, wanted: Wanted) -> list[Fit]:
    """Return every way in which a checkpoint holds all tensors of a network.

    One that takes no prefix off stands alone.

    Args:
        state: Tensors by clean name.
        wanted: What the network takes.
    """
    found = []
    for dropped in ("", *_prefixes(state, len(wanted.tensors) // 2)):
        for added in _shared_prefixes(wanted.tensors):
            fit = _fit(state, wanted, dropped, added)
            if fit is not None and not dropped:
                return [fit]
            found += [] if fit is None else [fit]
    return found


def best_prefix(state: State, wanted: Collection[str]) -> tuple[str, int]:
    """Return the prefix that makes most names fit when it is dropped, and how many then do."""
    best = ("", sum(name in wanted for name in state))
    for prefix in _prefixes(state, 0):
        count = sum(n.removeprefix(prefix) in wanted for n in state if n.startswith(prefix))
        best = max(best, (prefix, count), key=lambda pair: pair[1])
    return best


def explain_misfit(state: State, wanted: Wanted) -> str:
    """Return why a checkpoint is none of a network: the first of each kind of fault.

    Args:
        state: Tensors by clean name.
        wanted: What the network takes.
    """
    prefix, count = best_prefix(state, wanted.tensors)
    hint = ""
    if prefix:
        hint = f"; without {prefix!r} {count} of {len(wanted.tensors)} names fit"
        state = below(state, prefix)
    missing = [n for n in wanted.tensors if n not in state and not is_counter(n)]
    unexpected = [name for name in state if name not in wanted.tensors]
    shared = [name for name in wanted.tensors if name in state]
    wrong = [name for name in shared if not same_kind(wanted.tensors[name], state[name])]
    faults = [f"{len(missing)} missing (first {missing[0]})"] if missing else []
    faults += [f"{len(unexpected)} unexpected (first {unexpected[0]!r})"] if unexpected else []
    if wrong:
        name = wrong[0]
        pair = f"found {_kind(state[name])}, expected {_kind(wanted.tensors[name])}"
        faults.append(f"{len(wrong)} of another shape or type (first {name}: {pair})")
    return "; ".join(faults or ["its names stand beside others"]) + hint


def _fit(state: State, wanted: Wanted, dropped: str, added: str) -> Fit | None:
    named = {added + name: tensor for name, tensor in below(state, dropped).items()}
    for names in wanted.ties:
        present = [name for name in names if name in named]
        named |= {name: named[present[0]] for name in names if present and name not in named}
    ours = {name: named[name] for name in wanted.tensors if name in named}
    if any(name not in ours and not is_counter(name) for name in wanted.tensors):
        return None
    if not all(same_kind(wanted.tensors[name], tensor) for name, tensor in ours.items()):
        return None
    others = [name for name in named if name not in ours] if wanted.is_whole else []
    if not all(_is_spare(name, named[name], wanted) for name in others):
        return None
    outside = [name for name in state if not name.startswith(dropped)]
    if not all(_is_beside(name, state[name]) for name in outside):
        return None
    return Fit(ours, dropped, [dropped + n.removeprefix(added) for n in others] + outside)


def _is_spare(name: str, tensor: Tensor, wanted: Wanted) -> bool:
    """Return whether the network does without an entry: bookkeeping, or a buffer it computes."""
    known = wanted.unsaved.get(name)
    return _is_bookkeeping(name, tensor) or (known is not None and equal(known, tensor))


def _is_bookkeeping(name: str, tensor: Tensor) -> bool:
    """Return whether an entry is one number of a training script, no part of a network."""
    is_named = _BOOKKEEPING.fullmatch(name.rpartition(".")[2]) is not None
    return tensor.numel() == 1 and is_named


def _is_beside(name: str, tensor: Tensor) -> bool:
    """Return whether an entry is of a training around the network: of its loss or metrics."""
    return _is_bookkeeping(name, tensor) or bool(_BESIDE.fullmatch(name.partition(".")[0]))


def _prefixes(state: State, least: int) -> Iterator[str]:
    """Yield what at least so many names begin with, up to a dot, the shortest first."""
    counts: Counter[str] = Counter()
    for name in state:
        parts = name.split(".")
        deepest = min(len(parts) - 1, PREFIX_DEPTH)
        counts.update(".".join(parts[:k]) + "." for k in range(1, deepest + 1))
    yield from sorted((p for p, c in counts.items() if c >= max(1, least)), key=len)


def _shared_prefixes(wanted: Collection[str]) -> list[str]:
    """Return what all names of a network begin with, "" first."""
    found = [""]
    parts = [name.split(".") for name in wanted]
    while parts and len({tuple(p[: len(found)]) for p in parts}) == 1:
        if min(map(len, parts)) <= len(found):
            break
        found.append(".".join(parts[0][: len(found)]) + ".")
    return found


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
