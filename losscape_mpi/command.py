"""What every command shares: one line for a user's mistake, and the exit codes."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from losscape_mpi.errors import QuietError, UserError
from losscape_mpi.farm.host.family import bind_forks, end_children
from losscape_mpi.run.outcome import COMPLETE, FAILED_POINTS, RESUMABLE

__all__ = ["COMPLETE", "FAILED_POINTS", "MISTAKE", "RESUMABLE"]

MISTAKE = 1
BROKEN_PIPE = 141  # as a shell reports SIGPIPE: never mistaken for complete


def run_command(main: Callable[[Sequence[str] | None], int]) -> NoReturn:
    """Run a command's main and exit with its code; a UserError becomes one line and code 1."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
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


class CommandParser(argparse.ArgumentParser):
    """Command-line arguments whose mistakes are a UserError like any other."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage."""
        raise UserError(f"{message}; see {self.prog} --help")


def report(error: object) -> None:
    """Write a user's mistake to the terminal as one line."""
    text = " ".join(str(error).split())
    # One write per line: the output of several ranks interleaves inside lines otherwise.
    os.write(sys.stderr.fileno(), f"losscape_mpi: {text}\n".encode(errors="backslashreplace"))
