"""What completes the console command in a shell, made by shtab from the commands' own parsers."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import shtab

from losscape_mpi.console.overview import SHELLS
from losscape_mpi.console.table import COMMANDS


def completion_script(shell: str, parsers: Mapping[str, argparse.ArgumentParser]) -> str:
    """Return a script for a shell that completes commands, options, their values and files.

    Args:
        shell: One of SHELLS.
        parsers: Of each command.
    """
    whole = argparse.ArgumentParser("losscape-mpi")
    whole.add_argument("--version", action="store_true", help="print the version")
    whole.add_argument("--print-completion", choices=SHELLS, help="print what completes a shell")
    commands = whole.add_subparsers()
    for name, parser in parsers.items():
        _complete_files(parser)
        commands.add_parser(name, help=COMMANDS[name], parents=[parser], add_help=False)
    return str(shtab.complete(whole, shell))


def _complete_files(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
