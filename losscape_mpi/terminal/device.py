"""Whether a person looks at what this process says, and the terminal they look at.

A rank's standard error is a pipe to its launcher. The launcher's own standard error says where the
lines end: on a terminal, in a file, in another pipe. Linux shows it in /proc to the same user on
the same host; where it does not, or the launcher is on another host, there is no terminal.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from losscape_mpi.errors import printable

PROC = Path("/proc")
# As the kernel names them, cut to 15 characters.
LAUNCHERS = frozenset(
    {
        *("mpirun", "mpiexec", "orterun", "prterun", "prte", "prted"),
        *("mpirun.hydra", "mpiexec.hydra", "mpiexec.gforker", "mpirun.mpich", "mpiexec.mpich"),
        *("mpirun.openmpi", "mpiexec.openmpi", "hydra_pmi_proxy", "hydra_bstrap_pr"),
    }
)
LAUNCHERS_CUT = frozenset(name[:15] for name in LAUNCHERS)


@dataclass(frozen=True)
class Terminal:
    """The terminal that shows a process's messages.

    Attributes:
        number: A descriptor of it alone; whoever opened it closes it.
        has_launcher: Whether a launcher shows the messages there, and has some of its own.
    """

    number: int
    has_launcher: bool = False


def open_terminal(environment: Mapping[str, str], proc: Path = PROC) -> Terminal | None:
    """Return the terminal that shows this process's messages, opened anew; None if there is none.

    What is written to it reaches that terminal and never a file or a pipe.

    The descriptor does not block: a stopped terminal (Ctrl-S) holds nobody up.

    Args:
        environment: TERM says whether the terminal knows control codes.
        proc: The folder of processes.
    """
    if environment.get("TERM", "dumb") == "dumb":
        return None
    try:
        number = sys.stderr.fileno()
        kind = os.fstat(number).st_mode
    except (AttributeError, OSError, ValueError):
        return None
    launcher = _launcher(proc)
    if launcher is None:
        return _opened(Path(f"/dev/fd/{number}"), False) if os.isatty(number) else None
    if not stat.S_ISFIFO(kind) and not stat.S_ISSOCK(kind) and not os.isatty(number):
        return None  # a file: this rank's messages are not what the launcher shows
    return _opened(launcher / "fd" / "2", True)


def tell_terminal(text: str, environment: Mapping[str, str]) -> None:
    """Write a line to the launcher's terminal, past the launcher; does nothing where none is."""
    terminal = open_terminal(environment)
    if terminal is None:
        return
    with suppress(OSError):
        if terminal.has_launcher:
            os.write(terminal.number, f"{printable(text)}\r\n".encode(errors="backslashreplace"))
    os.close(terminal.number)


def _launcher(proc: Path) -> Path | None:
    """Return the folder of the process that the person started: the outermost launcher."""
    found = None
    for folder, name in _ancestors(proc):
        if name in LAUNCHERS_CUT:
            found = folder
        elif found is not None:
            return found
    return found


def _ancestors(proc: Path) -> Iterator[tuple[Path, str]]:
    process = os.getppid()
    while process > 1:
        folder = proc / str(process)
        try:
            text = (folder / "stat").read_text(errors="replace")
        except OSError:
            return
        # The name stands in parentheses and may hold some: "12 (my (odd) name) S 11 ..."
        name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 1 :]
        yield folder, name
        process = int(rest.split()[1])


def _opened(path: Path, has_launcher: bool) -> Terminal | None:
    with suppress(OSError):
        if not stat.S_ISCHR(os.stat(path).st_mode):
            return None
        number = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        if os.isatty(number):
            return Terminal(number, has_launcher)
        os.close(number)
    return None
