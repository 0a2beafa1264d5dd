"""Who may write a surface file: one run at a time.

HDF5's own lock sees to it, and ends with its process. Where the file system has no locks, or
HDF5_USE_FILE_LOCKING turns them off, a lock file does (`lock_file`).
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from pathlib import Path
from typing import BinaryIO

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.lock_file import Holder, LockFile, clear_stale, locked
from losscape_mpi.store.probe import check_file, refuse_irregular
from losscape_mpi.store.reader import read_activity

logger = logging.getLogger(__name__)

# NFS without lockd, Lustre without -o flock, others; 524 is the kernel's ENOTSUPP (DVS, GPFS).
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, 524})
LOCKS_OFF = frozenset({"FALSE", "0", "BEST_EFFORT"})  # values of HDF5_USE_FILE_LOCKING


def open_for_writing(path: Path) -> tuple[BinaryIO, LockFile | None]:
    """Open a surface file for this run alone, as plain bytes with HDF5's own lock on them.

    Returns:
        The file, and the lock file that guards it where HDF5's own lock does not work.

    Raises:
        UserError: If another run or program holds the file, or it is none that can be written.
    """
    check_file(path)
    clear_stale(path)
    if os.environ.get("HDF5_USE_FILE_LOCKING") not in LOCKS_OFF:
        try:
            return _open(path, locking=True), None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise _explain(path, error) from error
    refuse_held(path)
    lock = LockFile(path)
    logger.warning(
        "warning: %s: file locks do not work here; %s keeps other runs away", path, lock.path.name
    )
    try:
        return _open(path, locking=False), lock
    except OSError as error:
        lock.release()
        raise _explain(path, error) from error


def refuse_held(path: Path) -> None:
    """Check, without taking a lock, that no other run or program holds a file.

    Raises:
        UserError: If one does, by a lock file or by HDF5's lock.
    """
    refuse_irregular(path)
    clear_stale(path)
    try:
        with path.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as HDF5 locks
    except BlockingIOError as error:
        raise _explain(path, error) from error
    except OSError:
        return  # no locks here, or no right to write: nothing can be learned


def _open(path: Path, locking: bool) -> BinaryIO:
    file = path.open("rb+", buffering=0)
    try:
        if locking:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as HDF5 locks
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    except OSError:
        file.close()
        raise
    file.close()  # a changed copy took its name between opening and locking
    raise BlockingIOError(errno.EAGAIN, f"{path} was replaced meanwhile")


def _explain(path: Path, error: OSError) -> UserError:
    if isinstance(error, BlockingIOError):
        return locked(path, _recorded_holder(path))
    return UserError(f"{path} cannot be opened for writing ({first_line(error)})")


def _recorded_holder(path: Path) -> Holder | None:
    """Return the run that the file itself names, unless that is known to have ended."""
    try:
        record = read_activity(path).progress
    except UserError:
        return None
    host, job = (bytes(record[key]).decode(errors="replace") for key in ("host", "job"))
    holder = Holder(host, int(record["pid"]), job)
    return None if not record["running"] or holder.seems_ended() else holder
