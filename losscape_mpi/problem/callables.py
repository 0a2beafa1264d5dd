"""Python objects of the user's own, named as package.module:name."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from losscape_mpi.errors import UserError

TIMM_PREFIX = "timm:"


def is_callable_spec(name: str) -> bool:
    """Return whether a name in a study means a callable of the user's, package.module:name."""
    return ":" in name and not name.startswith(TIMM_PREFIX)


def import_callable(spec: str) -> Callable[..., Any]:
    """Return the callable that package.module:name names; the current directory is importable.

    Args:
        spec: Module and name, separated by one colon.

    Raises:
        UserError: If the form is wrong, the module or the name does not exist, or the object
            cannot be called. What the module itself raises while it is imported passes through.
    """
    module_name, _, name = spec.partition(":")
    if not name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise UserError(f"found {spec!r}, expected the form package.module:callable")
    module = _import_module(module_name, spec)
    if not hasattr(module, name):
        raise UserError(f"{spec}: {module_name} has no {name!r}{_suggestion(module, name)}")
    found = getattr(module, name)
    if not callable(found):
        raise UserError(f"{spec}: found {type(found).__name__}, expected a function or a class")
    return found


def source_sha256(function: Callable[..., Any]) -> str:
    """Return the SHA-256 of the source file of the module that defines a callable, as hex.

    Args:
        function: A function, a class, an object with __call__ or a functools.partial of one.

    Raises:
        UserError: If it is not defined in a Python file.
    """
    while isinstance(function, functools.partial):
        function = function.func
    path = _source_path(function)
    if path is None or not path.is_file():
        raise UserError(
            f"found {function!r} without a source file, expected a callable that a .py file "
            "defines: wrap it in a function of your own"
        )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _import_module(module_name: str, spec: str) -> ModuleType:
    try:
        with _importable(str(Path.cwd())):
            return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Another name is a missing import of the user's module: its traceback tells where.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise UserError(
            f"{spec}: found no module {error.name!r}, expected one that is installed or lies in "
            f"the current directory {Path.cwd()}: correct the name or change the directory"
        ) from None


@contextmanager
def _importable(folder: str) -> Iterator[None]:
    """Put a folder first on sys.path for the time of an import, as python -m does."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with suppress(ValueError):  # the module itself may have taken it away
            sys.path.remove(folder)


def _suggestion(module: ModuleType, name: str) -> str:
    names = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
    near = get_close_matches(name, names, n=3)
    return f": did you mean {' or '.join(near)}?" if near else ": correct the name"


def _source_path(function: Callable[..., Any]) -> Path | None:
    module = inspect.getmodule(function)
    try:
        source = None if module is None else inspect.getsourcefile(module)
    except TypeError:  # a module that is compiled into the interpreter
        return None
    return None if source is None else Path(source)
