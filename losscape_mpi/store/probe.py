"""Looking at a file where nothing can be lost: in a child process with limits.

The HDF5 library itself breaks on some damaged files: it crashes, runs for ever or takes all
memory. So each file is looked at first by a child, which may do so.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import h5py

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.store.gate import check_structure

MEMORY_BYTES = 768 << 20
CPU_S, WALL_S = 20, 40  # a sound file of 10,000 tensors takes 0.5 s
KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}
# A fork of a process with MPI or threads can stand still for ever; a new interpreter costs 0.2 s.
UNSAFE_TO_FORK = "mpi4py.MPI"

NO_HDF5 = "cannot be opened: "

_seen: set[tuple[object, ...]] = set()


def check_file(path: Path, foreign: str = "") -> None:
    """Check that a file is an HDF5 file which can be opened: nothing in it is read or followed.

    A file that has not changed is looked at once.

    Args:
        path: The file.
        foreign: What it should be, of another tool; empty where it is a surface file of ours.

    Raises:
        UserError: If it is missing, no file, damaged, or made of what a surface file is not.
    """
    about = refuse_irregular(path)
    mark = _mark(about, not foreign)
    if mark in _seen:
        return
    if why := _ask_child(path, not foreign):
        raise _refusal(path, foreign, why)
    _seen.add(mark)


def _refusal(path: Path, foreign: str, why: str) -> UserError:
    advice = "move it away and run again"
    if foreign:
        return UserError(f"{path} is no readable {foreign} ({why.removeprefix(NO_HDF5)})")
    if why.startswith(NO_HDF5):
        why = why.removeprefix(NO_HDF5)
        return UserError(f"{path} is not a readable HDF5 file ({why}); {advice}")
    return UserError(f"{path} is damaged or no losscape_mpi surface file ({why}); {advice}")


def trust(path: Path) -> None:
    """Note that this process has just made a file itself: it needs no child to look at it."""
    with contextlib.suppress(OSError):
        _seen.add(_mark(path.stat(), True))


def refuse_irregular(path: Path) -> os.stat_result:
    """Return the state of a regular file; it is not opened, which alone can stop a process.

    Raises:
        UserError: If it is missing, a folder, a pipe, a socket, a device, or not readable.
    """
    try:
        about = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{path}: no such surface file; run losscape_mpi.surface to make it"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({first_line(error)})") from error
    if not stat.S_ISREG(about.st_mode):
        what = next((word for test, word in KINDS.items() if test(about.st_mode)), "no file")
        raise UserError(f"{path} cannot be read: it is {what}, expected a surface file")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path} cannot be read: permission denied; ask its owner")
    return about


def _mark(about: os.stat_result, is_ours: bool) -> tuple[object, ...]:
    times = about.st_mtime_ns, about.st_ctime_ns
    return about.st_dev, about.st_ino, about.st_size, *times, is_ours


def _ask_child(path: Path, is_ours: bool) -> str:
    """Return what is wrong with a file, empty if nothing is."""
    can_fork = threading.active_count() == 1 and UNSAFE_TO_FORK not in sys.modules
    code, said = (_forked if can_fork else _executed)(path, is_ours)
    if code == 0:
        return said
    if code in (-signal.SIGALRM, -signal.SIGXCPU):
        return f"the HDF5 library does not end on it within {CPU_S} s"
    return f"the HDF5 library breaks on it, code {code}"


def _forked(path: Path, is_ours: bool) -> tuple[int, str]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of the parent may run on in here
        with contextlib.suppress(BaseException):
            os.close(reader)
            faulthandler.disable()  # its crash is an answer, not news
            os.write(writer, look(path, is_ours).encode(errors="replace")[:4000])
            os._exit(0)
        os._exit(1)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def _executed(path: Path, is_ours: bool) -> tuple[int, str]:
    words = [sys.executable, "-m", __name__, str(path.absolute()), "ours" * is_ours]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode, done.stdout.decode(errors="replace").strip()


def look(path: Path, is_ours: bool) -> str:
    """Return what is wrong with a file, empty if nothing is; for a process of its own."""
    _confine()
    try:
        file = open_without_lock(path)
    except BaseException as error:
        return NO_HDF5 + first_line(error)
    try:
        with file:
            check_structure(file, os.stat(path).st_size, is_ours=is_ours)
            for name in ("manifest", "provenance", "columns") if is_ours else ():
                if isinstance(data := file.get(name), h5py.Dataset):
                    data[()]  # a text of variable length is found by following addresses
    except BaseException as error:
        return first_line(error) or "unreadable"
    return ""


def open_without_lock(path: Path) -> h5py.File:
    """Open an HDF5 file for reading, whatever holds it."""
    try:
        return h5py.File(path, "r", locking=False)
    except BlockingIOError:
        # HDF5_USE_FILE_LOCKING overrides the argument; a copy in memory needs no lock.
        return h5py.File(io.BytesIO(path.read_bytes()), "r")


def _confine() -> None:
    """Limit this process in memory and time, and silence what the C library says of it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 2)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    _limit(resource.RLIMIT_AS, used + MEMORY_BYTES)
    _limit(resource.RLIMIT_CPU, CPU_S)
    _limit(resource.RLIMIT_CORE, 0)
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.alarm(WALL_S)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (value if hard < 0 else min(value, hard), hard))


def main(say: Callable[[str], object] = sys.stdout.write) -> None:
    """Say what is wrong with the file that the command line names."""
    say(look(Path(sys.argv[1]), sys.argv[2] == "ours"))


if __name__ == "__main__":
    main()
