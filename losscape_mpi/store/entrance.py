"""The one door through which a surface file is opened, for reading and for writing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.store.gate import check_structure
from losscape_mpi.store.mistaken import refuse_study
from losscape_mpi.store.probe import check_file, open_without_lock

# What h5py and numpy raise for a file that is damaged, hostile or something else.
DAMAGE = (
    OSError,
    LookupError,
    ValueError,
    AttributeError,
    TypeError,
    EOFError,
    ArithmeticError,
    RuntimeError,  # RecursionError among them
    MemoryError,
)


@contextmanager
def open_surface(path: Path) -> Iterator[h5py.File]:
    """Open a surface file for reading without a lock, and explain what cannot be read.

    Raises:
        UserError: If it is missing, damaged, or made of what a surface file is not.
    """
    try:
        check_file(path)
    except UserError:
        refuse_study(path)
        raise
    # The layout never changes after creation, so a reader needs no lock (docs/design.md).
    with explained(path), open_without_lock(path) as file:
        check_structure(file, os.stat(path).st_size, is_ours=True)
        yield file


@contextmanager
def explained(path: Path, expected: str = "losscape_mpi surface file") -> Iterator[None]:
    """Turn what reading a damaged file raises into one line that says what was expected."""
    try:
        yield
    except DAMAGE as error:
        raise UserError(
            f"{path} is damaged or no {expected} ({first_line(error)}); move it away and run again"
        ) from error
