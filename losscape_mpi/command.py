"""What every command shares: one line for a user's mistake, and the exit codes."""

from __future__ import annotations

import argparse
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from losscape_mpi.errors import QuietError, UserError, printable
from losscape_mpi.farm.host.family import bind_forks, end_children
from losscape_mpi.run.outcome import COMPLETE, FAILED_POINTS, RESUMABLE
from losscape_mpi.terminal.bar import clear_bar

__all__ = ["COMPLETE", "FAILED_POINTS", "MISTAKE", "RESUMABLE"]

MISTAKE = 1
BROKEN_PIPE = 141  # as a shell reports SIGPIPE: never mistaken for complete
PROGRAM = "losscape-mpi"
_AS_MODULE = re.compile(r"python -m losscape_mpi\.(?=[a-z_]+\b(?!\.\w))")


def run_command(main: Callable[[Sequence[str] | None], int]) -> NoReturn:
    """Run a command's main and exit with its code; a UserError becomes one line and code 1."""
    _open_standard_streams()
    handler = _Handler(sys.stderr)
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that knows ASCII only gets escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    bind_forks()  # a user's model may start what it never ends
    try:
        code = main(None)
        sys.stdout.flush()
    except UserError as error:
        if not isinstance(error, QuietError):
            report(error)
        code = MISTAKE
    except KeyboardInterrupt:
        report("interrupted; the same command run again goes on")
        code = RESUMABLE
    except BrokenPipeError:
        # The reader of a pipe (head, less) left early; silence the flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE
    finally:
        end_children()
    sys.exit(code)


def program() -> str:
    """Return what stands before a command's name in this process, up to the name itself."""
    called = Path(sys.argv[0])
    if called.stem == PROGRAM:
        return PROGRAM
    is_package = called.name == "__main__.py" and called.parent.name == "losscape_mpi"
    return "python -m losscape_mpi" if is_package else "python -m losscape_mpi."


def as_called(text: str) -> str:
    """Return a text that calls commands by `python -m` as the user called this one."""
    name = program()
    return _AS_MODULE.sub(name if name.endswith(".") else f"{name} ", text)


class _Handler(logging.StreamHandler):
    """Log lines that a bar makes room for."""

    def emit(self, record: logging.LogRecord) -> None:
        clear_bar()
        super().emit(record)


class _Printable(logging.Formatter):
    """Log lines whose texts, which may come from a file, do nothing in a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(as_called(super().format(record)), kept="\n\t")


def _open_standard_streams() -> None:
    """Put the null device in the place of closed ones, or files of ours would take their numbers.

    A file that is opened as number 1 or 2 would get what is printed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


class CommandParser(argparse.ArgumentParser):
    """Command-line arguments whose mistakes are a UserError like any other."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.prog = as_called(self.prog)
        self.description = self.description and as_called(self.description)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage."""
        raise UserError(f"{message}; see {self.prog} --help")


def add_no_code(parser: argparse.ArgumentParser) -> None:
    """Add the option that refuses settings which name code."""
    parser.add_argument(
        "--no-code",
        action="store_true",
        help="refuse a file that names code (module:callable), such as one of a stranger's",
    )


def report(error: object) -> None:
    """Write a user's mistake to the terminal as one line."""
    text = printable(as_called(" ".join(str(error).split())))
    clear_bar()
    # One write per line: the output of several ranks interleaves inside lines otherwise.
    os.write(sys.stderr.fileno(), f"losscape_mpi: {text}\n".encode(errors="backslashreplace"))
