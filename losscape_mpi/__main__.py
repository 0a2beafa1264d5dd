"""The console command: losscape-mpi NAME runs the command whose row has that name."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from losscape_mpi import __version__
from losscape_mpi.command import COMPLETE, program, run_command
from losscape_mpi.console.overview import check_shell, overview, unknown_command
from losscape_mpi.console.table import COMMANDS
from losscape_mpi.errors import QuietError, UserError
from losscape_mpi.farm.host.launcher import read_launch


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names and return its exit code.

    Raises:
        UserError: If there is no such command, or what the command raises.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in COMMANDS:
        sys.argv[1:] = words[1:]  # what the command records as its own words
        code: int = import_module(f"losscape_mpi.{words[0]}").main(words[1:])
        return code
    is_first = read_launch(os.environ).rank == 0
    try:
        text = _answer(words)
    except UserError as error:
        raise error if is_first else QuietError(str(error)) from error
    if is_first:
        print(text, end="")  # noqa: T201
    return COMPLETE


def run() -> NoReturn:
    """Run the console command and exit with its code."""
    run_command(lambda _: main())


def _answer(words: list[str]) -> str:
    """Return what is printed where no command is to be run."""
    if not words or words[0] in ("-h", "--help", "help"):
        return overview(program())
    if words[0] == "--version":
        return f"losscape-mpi {__version__}\n"
    option, equals, value = words[0].partition("=")
    if option == "--print-completion":
        shell = check_shell([value] if equals else words[1:])
        from losscape_mpi.console.completion import completion_script

        return completion_script(shell, {name: _parser(name) for name in COMMANDS})
    raise UserError(unknown_command(words[0], program()))


def _parser(name: str) -> ArgumentParser:
    parser: ArgumentParser = import_module(f"losscape_mpi.{name}").make_parser()
    return parser


if __name__ == "__main__":
    run()
