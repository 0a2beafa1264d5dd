"""Files that appear whole or not at all: replaced, created, or moved aside.

Written beside its place under a hidden name, brought to the disk, and renamed: a kill leaves the
old file or the new one, and at most a hidden file that nobody reads.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import itertools
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from losscape_mpi.errors import UserError, first_line

OTHER_FOLDER = "choose another folder or free space"
# A folder that cannot be opened or synced by this file system or this user: renames stand anyway.
NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES})


def replaced(path: Path, advice: str = OTHER_FOLDER) -> AbstractContextManager[Path]:
    """Give a path beside the wanted one; what is written there gets the name: whole, or not at all.

    Args:
        path: Its folder is made if it is missing; an existing file is replaced.
        advice: What a user can do where the file cannot be written.

    Raises:
        UserError: If the file cannot be written; the old one is then as it was.
    """
    place = path.resolve() if path.is_symlink() else path  # a link stays one
    return _written(place, os.replace, lambda why: f"{path} cannot be written ({why}); {advice}")


def created(path: Path) -> AbstractContextManager[Path]:
    """Give a path beside a new file's, as `replaced`; it gets the name only if that is free.

    Raises:
        UserError: If the name is taken, or the file cannot be written; nothing is left behind.
    """
    return _written(
        path,
        _publish,
        lambda why: f"{path} cannot be created ({why}); choose another output or free space",
    )


def move_aside(paths: Sequence[Path]) -> list[Path]:
    """Move files and folders to NAME.1, NAME.2, ...: the first number that is free for all.

    A new name is taken before it is used, so no process ever loses a file to another one.

    Returns:
        The new paths of those that were there and that no other process moved first.

    Raises:
        UserError: If one cannot be moved.
    """
    there = [path for path in paths if os.path.lexists(path)]
    try:
        for number in itertools.count(1):
            pairs = [(path, _numbered(path, number)) for path in there]
            is_free = not any(os.path.lexists(_numbered(path, number)) for path in paths)
            if is_free and _claim_all(pairs):
                break
        return _rename_all(pairs)
    except OSError as error:
        raise UserError(f"{error.filename} cannot be moved ({_reason(error)})") from error


def check_writable(path: Path) -> None:
    """Try that a file could be created, before hours are spent on it; else raise a UserError."""
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        if path.is_symlink() and not path.exists():
            raise FileNotFoundError(f"it is a link to {os.readlink(path)}, which is not there")
        with _partial(path) as partial:
            partial.touch()
    except OSError as error:
        what = f"output {path} cannot be written ({_reason(error)})"
        raise UserError(f"{what}; choose another output") from error


def remove_partial(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left half-written in a folder: of one file, or of all."""
    start = "*" if name is None else glob.escape(name)
    for partial in folder.glob(f".{start}.*.tmp"):
        partial.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring a rename in a folder to the disk, where the file system knows how to."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise


@contextlib.contextmanager
def _written(
    path: Path, publish: Callable[[Path, Path], None], explain: Callable[[str], str]
) -> Iterator[Path]:
    try:
        with _partial(path) as partial:
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            publish(partial, path)
            sync_folder(path.parent)
    except OSError as error:
        raise UserError(explain(_reason(error))) from error


@contextlib.contextmanager
def _partial(path: Path) -> Iterator[Path]:
    # With the host: containers on several nodes give their processes the same small numbers.
    partial = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _publish(partial: Path, path: Path) -> None:
    """Give a finished file its name, never another process's that began at the same time."""
    try:
        os.link(partial, path)
        return
    except FileExistsError:
        if partial.stat().st_nlink == 2:  # NFS may say so of our own link
            return
    except OSError:  # a file system without hard links
        if _claim(path):
            os.replace(partial, path)
            return
    raise UserError(f"{path} was created by another run meanwhile; run again to resume it")


def _claim(name: Path, is_folder: bool = False) -> bool:
    """Take a free name by an empty file or folder; returns whether it was free."""
    try:
        name.mkdir() if is_folder else name.open("xb").close()
    except FileExistsError:
        return False
    return True


def _give_back(name: Path) -> None:
    (name.rmdir if name.is_dir() else name.unlink)()


def _claim_all(pairs: Sequence[tuple[Path, Path]]) -> bool:
    """Take the new name of each pair; returns whether all were free, else none is taken."""
    taken: list[Path] = []
    try:
        for old, new in pairs:
            if not _claim(new, is_folder=old.is_dir() and not old.is_symlink()):
                return False
            taken.append(new)
        taken.clear()
        return True
    finally:
        for name in taken:
            _give_back(name)


def _rename_all(pairs: Sequence[tuple[Path, Path]]) -> list[Path]:
    """Move files to the names that were taken for them; returns where those are that we moved."""
    moved: list[Path] = []
    try:
        for old, new in pairs:
            with contextlib.suppress(FileNotFoundError):  # another process moved it first
                os.rename(old, new)
                moved.append(new)
                sync_folder(new.parent)
    finally:
        for _, new in pairs:
            if new not in moved:
                _give_back(new)
    return moved


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def _reason(error: OSError) -> str:
    return error.strerror or first_line(error)
