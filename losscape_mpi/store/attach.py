"""Adding a training path to a surface file that exists: by a changed copy that takes its name.

The layout of a surface file never changes while it has its name, so a kill at any moment leaves
the old file or the new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.files import replaced
from losscape_mpi.lock_file import LockFile, locked
from losscape_mpi.store.entrance import open_surface
from losscape_mpi.store.lock import LOCKS_OFF, NO_LOCKS, refuse_held
from losscape_mpi.store.reader import surface_sha256
from losscape_mpi.store.surface import Trajectory
from losscape_mpi.store.trajectory import GROUP, write_trajectory

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_attachable(path: Path, name: str, fresh: bool) -> None:
    """Try that a training path could be added, before time is spent on it.

    Raises:
        UserError: If a run holds the file, the name has other characters than letters, digits,
            dots, dashes and underscores, or it is taken and `fresh` is not given.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            f"found the name {name!r} for a trajectory, expected letters, digits, '.', '-' and "
            "'_': choose another one with --name"
        )
    with open_surface(path) as file:
        if not fresh and name in file.get(GROUP, {}):
            raise UserError(
                f"{path} holds a trajectory {name} already: choose another --name, or pass "
                "--fresh to replace it"
            )
    refuse_held(path)


def attach_trajectory(path: Path, name: str, trajectory: Trajectory, fresh: bool) -> None:
    """Put a training path into a surface file; the surface itself keeps its canonical SHA-256.

    Args:
        path: The file, which no run may hold.
        name: What the path is called in it.
        trajectory: The path.
        fresh: Whether a path of this name is replaced.

    Raises:
        UserError: If a run holds the file, the name is taken, or the file cannot be written; the
            old file is then as it was.
    """
    check_attachable(path, name, fresh)
    path = path.resolve()  # a link stays one, and what it leads to is replaced
    try:
        with _held(path), replaced(path, "free space and run again") as temporary:
            temporary.write_bytes(_changed(path, name, trajectory))
            shutil.copymode(path, temporary)
            if surface_sha256(temporary) != surface_sha256(path):
                raise ValueError(f"adding a trajectory would have changed the surface of {path}")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({first_line(error)}); choose a file of your own"
        ) from error


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Keep runs away as one of them would, without opening the file for writing."""
    if os.environ.get("HDF5_USE_FILE_LOCKING") not in LOCKS_OFF:
        with path.open("rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as HDF5 locks
            except BlockingIOError:
                raise locked(path, None) from None
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
            else:
                if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    raise locked(path, None)  # another run has just replaced it
                yield
                return
    lock = LockFile(path)
    try:
        yield
    finally:
        lock.release()


def _changed(path: Path, name: str, trajectory: Trajectory) -> bytes:
    """Return the bytes of a file with the path in it; the file stays as it is."""
    # In memory: HDF5 does not report a full disk as an OSError, plain writing does.
    with h5py.File(
        path, "r+", driver="core", backing_store=False, libver=("earliest", "v108"), locking=False
    ) as copy:
        write_trajectory(copy, name, trajectory)
        copy.flush()
        return bytes(copy.id.get_file_image())
