"""Pickles of torch.save, read without running any code: what is no tensor becomes a stand-in."""

from __future__ import annotations

import pickle
import re
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from losscape_mpi.errors import UserError
from losscape_mpi.problem.foreign_file import unreadable

MOST_CLASSES = 200  # of other kinds in one file: each costs one reading
# What may be called while a file is read, by its name alone: the stand-in keeps nothing.
HARMLESS = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|datetime\.\w+|pathlib\.\w+|decimal\.Decimal|"
    r"fractions\.Fraction|uuid\.\w+|numpy\.[\w.]+|enum\.\w+|collections\.\w+|copy_?reg\.\w+|"
    r"(builtins|__builtin__)\.(int|float|str|bool|list|tuple|dict|set|frozenset|slice|range|"
    r"xrange|object|bytes|complex|getattr)|_codecs\.encode|functools\.partial|typing\.\w+|"
    r"zoneinfo\.ZoneInfo|torch\._utils\._rebuild_[\w]+|omegaconf\.[\w.]+"
)
DICTIONARIES = ("collections.defaultdict", "builtins.dict", "collections.ChainMap")
LISTS = ("collections.deque", "builtins.list")


class StandIn:
    """In the place of an object whose class is not imported; it holds and does nothing."""

    name = ""

    def __new__(cls, *_: object, **__: object) -> StandIn:
        """Take anything that the class would take."""
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        """Keep nothing."""

    def __setstate__(self, state: object) -> None:
        """Keep nothing."""


class _Uncallable(type):
    """A class that a file may make objects of, but that it may not call."""

    def __call__(cls, *_: object, **__: object) -> Any:
        raise pickle.UnpicklingError(f"GLOBAL {cls.__name__} was called")


def load_pickled(path: Path) -> object:
    """Return what torch.save wrote, on the CPU: tensors and plain values, stand-ins for the rest.

    torch's own restricted reader reads it. Objects of classes that it does not know become
    stand-ins; a file that calls a function is refused, but for those of harmless values.

    Raises:
        UserError: If the file is damaged or of another kind, or calls a function.
    """
    known: dict[str, Any] = {}
    for _ in range(MOST_CLASSES):
        try:
            with warnings.catch_warnings(), torch.serialization.safe_globals(_allowed(known)):
                warnings.simplefilter("ignore")  # torch's advice on other kinds of archives
                # A path that ends .safetensors would be read as one.
                with path.open("rb") as file:
                    return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            if not _learn(str(error), known):
                raise _refusal(path, str(error)) from None
        except Exception:  # any kind: torch parses foreign bytes before it knows what they are
            raise unreadable(path) from None
    raise unreadable(path)


def _allowed(known: dict[str, Any]) -> list[Any]:
    return [(stand_in, name) for name, stand_in in known.items()]


def _learn(message: str, known: dict[str, Any]) -> bool:
    """Add what a file was refused for to what is known; returns whether that may help."""
    if wanted := re.search(r"Unsupported global: GLOBAL ([\w.<>]+) was not", message):
        name = wanted[1]
        # torch's message leaves out the module of built-in functions.
        name = name if "." in name else f"builtins.{name}"
        if name in known:
            return False
        known[name] = _stand_in(name)
        return True
    # A class that is a dictionary or a list of its own: filled in place after it is made.
    filled = re.search(r"Can only (\w+) .*but got <class '([^']+)'>", message, re.DOTALL)
    if filled is None or filled[2] not in known or known[filled[2]] in (_Dictionary, _List):
        return False
    known[filled[2]] = _Dictionary if filled[1].startswith("SETITEM") else _List
    return True


def _stand_in(name: str) -> type:
    if name in DICTIONARIES:
        return _Dictionary
    if name in LISTS:
        return _List
    module, _, last = name.rpartition(".")
    kind = type if HARMLESS.fullmatch(name) else _Uncallable
    return kind(last, (StandIn,), {"__module__": module, "__qualname__": last, "name": name})


class _Dictionary:
    """In the place of a dictionary's class: what is put in stays."""

    def __new__(cls, *_: object, **__: object) -> Any:
        return OrderedDict()


class _List:
    """In the place of a list's class."""

    def __new__(cls, *_: object, **__: object) -> Any:
        return []


def _refusal(path: Path, message: str) -> UserError:
    wanted = re.search(r"GLOBAL ([\w.]+)", message)
    if wanted is None:
        return unreadable(path)
    return UserError(
        f"{path} holds more than tensors (it asks for {wanted[1]}) and was refused, none of "
        "its code ran: save model.state_dict() alone and name that file"
    )
