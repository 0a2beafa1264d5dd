"""Python objects of the user's own, named as package.module:name."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import logging
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from losscape_mpi.errors import UserError

logger = logging.getLogger(__name__)

PACKAGE = __name__.partition(".")[0]
_OURS = "expected a function or a class of your own"


def import_callable(spec: str) -> Callable[..., Any]:
    """Return the callable that package.module:name names; the current directory is importable.

    A study is code: whoever runs one runs what it names. What nobody names in good faith, such as
    os:system, is refused before it is called, and each module that is imported is logged.

    Args:
        spec: Module and name, separated by one colon.

    Raises:
        UserError: If the form is wrong, the module or the name does not exist, or the object
            cannot be called, or is a part of Python or of this package. What the module itself
            raises while it is imported passes through.
    """
    module_name, _, name = spec.partition(":")
    if not name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise UserError(f"found {spec!r}, expected the form package.module:callable")
    _refuse_library(module_name, spec)
    module = _import_module(module_name, spec)
    if not hasattr(module, name):
        raise UserError(f"{spec}: {module_name} has no {name!r}{_suggestion(module, name)}")
    found = getattr(module, name)
    if not callable(found):
        raise UserError(f"{spec}: found {type(found).__name__}, expected a function or a class")
    home = _home(found)
    if home is not None and _is_library(home) and not _is_own(home):
        raise UserError(f"{spec}: found {name} of Python's module {home}, {_OURS}")
    _tell(module_name, str(getattr(module, "__file__", None)))
    return found


def source_sha256(function: Callable[..., Any]) -> str:
    """Return the SHA-256 of the source file of the module that defines a callable, as hex.

    Args:
        function: A function, a class, an object with __call__ or a functools.partial of one.

    Raises:
        UserError: If it is not defined in a Python file.
    """
    path = _source_path(_unwrapped(function))
    if path is None or not path.is_file():
        raise UserError(
            f"found {function!r} without a source file, expected a callable that a .py file "
            "defines: wrap it in a function of your own"
        )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _refuse_library(module_name: str, spec: str) -> None:
    if module_name.partition(".")[0] == PACKAGE:
        raise UserError(f"{spec}: found a module of {PACKAGE} itself, {_OURS}")
    if _is_library(module_name) and not _is_own(module_name):
        raise UserError(
            f"{spec}: found a module of Python's standard library, {_OURS}: wrap what you need in "
            "a function, and give a file of yours with this name another one"
        )


def _is_library(module_name: str) -> bool:
    """Return whether a module comes with Python, by its name or by where it lies."""
    if module_name.partition(".")[0] in sys.stdlib_module_names:
        return True
    loaded = sys.modules.get(module_name)
    file = getattr(loaded, "__file__", None)
    folder = Path(sysconfig.get_path("stdlib"))
    return file is not None and Path(file).parent == folder


def _is_own(module_name: str) -> bool:
    """Return whether a name of the standard library means a file of the user's here."""
    top = module_name.partition(".")[0]
    own = PathFinder.find_spec(top, [str(Path.cwd())])
    loaded = sys.modules.get(top)
    if own is None or own.origin is None:
        return False
    return loaded is None or getattr(loaded, "__file__", None) == own.origin


def _home(found: object) -> str | None:
    """Return the module that defines a callable, or the class of an object that can be called."""
    home = getattr(_unwrapped(found), "__module__", None)
    return home if isinstance(home, str) else None


def _unwrapped(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


@functools.cache
def _tell(module_name: str, file: str) -> None:
    logger.info("code is imported: %s from %s", module_name, file)


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
