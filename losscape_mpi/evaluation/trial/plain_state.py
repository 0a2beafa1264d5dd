"""What a network holds beside its tensors: attributes, closures, class attributes, globals.

A forward pass may change any of it. What lies in a module's own attributes is copied with the
network; what is reached through a function or a class is one for all copies.
"""

from __future__ import annotations

import functools
import itertools
import random
import sys
import sysconfig
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MOST_ITEMS = 10_000  # of one container; a longer one is told by its length
MOST_HASHED = 1 << 22  # elements of a tensor; of a larger one torch's count of changes has to do
_OWN = ("_parameters", "_buffers", "_modules")  # torch keeps its tensors there
_ATOMS = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, range)
_LIBRARIES = frozenset({*sys.stdlib_module_names, "losscape_mpi"})
_INSTALLED = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
MOST_HELD, DEEPEST = 100_000, 30  # a user's registry of everything is not followed to its end


@dataclass(frozen=True, eq=False)
class Held:
    """Something that a network holds.

    Attributes:
        path: How it is reached, such as "block.calls" or "f (function build.<locals>.run).count".
        is_shared: Whether all copies of the network reach the same object.
        value: The object: a number, a tensor, a module of another network.
    """

    path: str
    is_shared: bool
    value: Any


def held_by(model: nn.Module, *others: Any) -> Iterator[Held]:
    """Yield what a network holds beside its own parameters, buffers and modules.

    Args:
        model: The network.
        others: Functions and objects that every copy of it shares: loss, metrics.
    """
    walk = _Walk({id(module) for module in model.modules()})
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        for key, value in vars(module).items():
            if key not in _OWN:
                yield from walk.into(value, f"{prefix}{key}", False)
        yield from walk.into(type(module), type(module).__name__, True)
    for other in others:
        yield from walk.into(other, type(other).__name__, True)


def fingerprints(model: nn.Module, *others: Any) -> dict[str, tuple[bool, object]]:
    """Return by path whether it is shared, and something that changes when its value does."""
    return {
        held.path: (held.is_shared, _fingerprint(held.value)) for held in held_by(model, *others)
    }


def changes(
    before: Mapping[str, tuple[bool, object]], after: Mapping[str, tuple[bool, object]]
) -> tuple[list[str], list[str]]:
    """Return the paths that differ: those of a copy's own, and those that all copies share."""
    own: list[str] = []
    shared: list[str] = []
    for path in sorted({*before, *after}):
        one, other = before.get(path), after.get(path)
        if one != other:
            (shared if (one or other or (False,))[0] else own).append(path)
    return own, shared


class _Walk:
    """Goes through everything once."""

    def __init__(self, inside: set[int]) -> None:
        self._inside = inside  # modules of the network itself
        self._depth = 0
        self._seen: dict[int, Any] = {}  # kept, so that no other object gets its number

    def into(self, value: Any, path: str, is_shared: bool) -> Iterator[Held]:
        if isinstance(value, _ATOMS):
            yield Held(path, is_shared, value)
            return
        if id(value) in self._seen or id(value) in self._inside:
            return
        if len(self._seen) > MOST_HELD or self._depth > DEEPEST:
            return
        self._seen[id(value)] = value
        if isinstance(value, nn.Module | Tensor | np.ndarray | torch.Generator | random.Random):
            yield Held(path, is_shared, value)
        elif parts := _parts(value, path):
            yield Held(f"{path} ({type(value).__name__})", is_shared, _length(value))
            is_one = is_shared or isinstance(value, types.FunctionType | type)
            self._depth += 1
            for name, part in parts():
                yield from self.into(part, name, is_one)
            self._depth -= 1
        elif isinstance(value, itertools.count):
            yield Held(path, is_shared, repr(value))


def _parts(value: Any, path: str) -> Callable[[], Iterator[tuple[str, Any]]] | None:
    """Return what gives the parts of an object with their paths; None for one that has none."""
    if isinstance(value, types.FunctionType | type):
        return None if _is_library(value.__module__) else lambda: _of_code(value, path)
    if isinstance(value, types.MethodType | functools.partial):
        return lambda: _of_bound(value, path)
    if isinstance(value, dict | types.MappingProxyType):  # another mapping may do anything
        return lambda: ((f"{path}[{k!r:.40}]", v) for k, v in list(value.items())[:MOST_ITEMS])
    if isinstance(value, list | tuple | set | frozenset | deque):
        listed = list(itertools.islice(iter(value), MOST_ITEMS))
        return lambda: ((f"{path}[{k}]", part) for k, part in enumerate(listed))
    if hasattr(value, "__dict__") and not _is_library(type(value).__module__):
        return lambda: ((f"{path}.{k}", v) for k, v in vars(value).items())
    return None


def _of_code(value: types.FunctionType | type, path: str) -> Iterator[tuple[str, Any]]:
    return _of_class(value) if isinstance(value, type) else _of_function(value, path)


def _of_bound(
    value: types.MethodType | functools.partial[Any], path: str
) -> Iterator[tuple[str, Any]]:
    if isinstance(value, types.MethodType):
        yield from ((path, value.__func__), (f"{path}.__self__", value.__self__))
    else:
        yield from ((path, value.func), (f"{path}.args", (value.args, value.keywords)))


def _of_function(function: types.FunctionType, path: str) -> Iterator[tuple[str, Any]]:
    """Yield what a function holds on to: its closure, its defaults, the globals that it names."""
    code = function.__code__
    named = f"{path} (function {function.__qualname__})"
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"{named}.{name}", cell.cell_contents
        except ValueError:
            continue  # not assigned yet
    yield f"{named}.__defaults__", (function.__defaults__, function.__kwdefaults__)
    for name in code.co_names:
        value = function.__globals__.get(name)
        if value is not None and not isinstance(value, types.ModuleType):
            yield f"{function.__module__}.{name}", value


def _of_class(kind: type) -> Iterator[tuple[str, Any]]:
    for one in kind.__mro__:
        if not _is_library(one.__module__):
            for name, value in vars(one).items():
                if not name.startswith("__") or isinstance(value, types.FunctionType):
                    yield f"{one.__name__}.{name}", value


def _is_library(module: str | None) -> bool:
    """Return whether a module is no code of the user's: Python's, ours, or installed."""
    if module is None or module.partition(".")[0] in _LIBRARIES - {"__main__"}:
        return True
    path = getattr(sys.modules.get(module), "__file__", None) or ""
    return path.startswith(_INSTALLED)


def _length(value: Any) -> int:
    return len(value) if hasattr(value, "__len__") and not isinstance(value, type) else 0


def _fingerprint(value: Any) -> object:
    if isinstance(value, Tensor):
        return _of_tensor(value)
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, random.Random):
        return value.getstate()
    return (type(value), repr(value)) if isinstance(value, _ATOMS) else id(value)


def _of_tensor(value: Tensor) -> object:
    kind = tuple(value.shape), value.dtype
    if value.layout != torch.strided or value.is_meta or value.numel() > MOST_HASHED:
        return kind, id(value), value._version
    flat = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return kind, flat.view(torch.uint8).numpy().tobytes()
