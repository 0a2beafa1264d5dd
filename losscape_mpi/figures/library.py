"""matplotlib, loaded so that nothing outside of the program can break it.

Environment variables and settings files of the user (MPLBACKEND, MATPLOTLIBRC, a matplotlibrc in
the working directory) are read when matplotlib is imported, and a wrong one ends the import.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

PACKAGE = __name__.split(".", maxsplit=1)[0]


def load_matplotlib() -> None:
    """Import matplotlib, whatever the environment says.

    In a program of ours nobody's settings are read: no figure depends on them. Elsewhere, such as
    in a notebook, they hold for the notebook's own figures, unless matplotlib refuses them.
    """
    if "matplotlib" in sys.modules:
        return
    with silence():
        if not _is_own_program():
            with suppress(Exception):
                _import()
                return
            _forget()
        with _own_settings():
            _import()


def _import() -> None:
    # The fonts are looked up at once, so that what the search has to say is silenced, too.
    import matplotlib.font_manager  # noqa: F401


def _is_own_program() -> bool:
    """Return whether Python runs one of our commands as its program."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and str(spec.name).startswith(f"{PACKAGE}.")


def _forget() -> None:
    """Remove what a failed import left behind."""
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        del sys.modules[name]


@contextmanager
def silence() -> Iterator[None]:
    """Let matplotlib say nothing: what it has to say is about settings that we do not use."""
    logger = logging.getLogger("matplotlib")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _own_settings() -> Iterator[None]:
    """Stand in matplotlib's own folder, whose settings file goes before all others."""
    backend = os.environ.pop("MPLBACKEND", None)
    spec = find_spec("matplotlib")
    folders = (spec and spec.submodule_search_locations) or []
    here = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))
    try:
        for folder in folders:
            with suppress(OSError):
                os.chdir(Path(folder) / "mpl-data")
        yield
    finally:
        with suppress(OSError):
            os.fchdir(here)
        os.close(here)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
