"""What the console command says about its commands."""

from __future__ import annotations

import difflib

from losscape_mpi.console.table import COMMANDS
from losscape_mpi.errors import UserError

OPTIONS = ("--help", "--version", "--print-completion")
SHELLS = ("bash", "zsh", "tcsh")


def overview(program: str) -> str:
    """Return the help of the console command.

    Args:
        program: How it was called, such as losscape-mpi.
    """
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {words}" for name, words in COMMANDS.items())
    return f"""\
usage: {program} COMMAND [...]

The loss surface of a trained network, computed over MPI.

commands:
{rows}

options:
  -h, --help                this help; COMMAND --help for that of a command
  --version                 print the version
  --print-completion SHELL  print completion for {", ".join(SHELLS)}

A first surface, of a small built-in network:
  {program} surface -o digits.h5
  {program} render digits.h5
"""


def unknown_command(word: str, program: str) -> str:
    """Return the line about a word that is no command, with the nearest that is one."""
    kind, known = ("option", OPTIONS) if word.startswith("-") else ("command", tuple(COMMANDS))
    near = difflib.get_close_matches(word, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
    return f"found the unknown {kind} {word!r}: {hint}; see {program} --help"


def check_shell(words: list[str]) -> str:
    """Return the shell that --print-completion names.

    Raises:
        UserError: If it names none of those that are known.
    """
    if len(words) == 1 and words[0] in SHELLS:
        return words[0]
    found = " ".join(words) or "nothing"
    raise UserError(f"--print-completion: found {found}, expected {' or '.join(SHELLS)}")
