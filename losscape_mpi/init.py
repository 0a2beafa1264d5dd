"""Write a commented study of your own network, by a few questions or by options.

    python -m losscape_mpi.init                           asks; Ctrl-C writes nothing
    python -m losscape_mpi.init --checkpoint my.pt --yes  takes the defaults

It looks into the checkpoint, without running code of it, and proposes the
network of the zoo that has its tensors. No file is replaced.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from losscape_mpi.command import COMPLETE, CommandParser, as_called, run_command
from losscape_mpi.errors import UserError, printable
from losscape_mpi.setup.dialogue import collect
from losscape_mpi.setup.example import copy_examples, list_examples
from losscape_mpi.setup.prompt import ask
from losscape_mpi.setup.question import QUESTIONS
from losscape_mpi.setup.study_file import compose_study, write_study

WELCOME = "A few questions. Enter takes what stands in [ ], Ctrl-C writes nothing."


def main(argv: Sequence[str] | None = None) -> int:
    """Write a study, or list or copy the examples; returns the exit code.

    Raises:
        UserError: If an answer is wrong or missing, a file is there already, or nobody answers.
    """
    options = make_parser().parse_args(argv)
    if options.list_examples:
        _say(list_examples(shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    elif options.copy_examples:
        places = copy_examples(options.copy_examples)
        _say(f"copied: {', '.join(map(str, places))}")
    else:
        _write(options)
    return COMPLETE


def _write(options: argparse.Namespace) -> None:
    texts = {question.name: getattr(options, question.name) for question in QUESTIONS}
    given = {name: str(text) for name, text in texts.items() if text is not None}
    is_asking = not options.yes
    if is_asking and not (sys.stdin and sys.stdin.isatty()):
        raise UserError("found no terminal to ask on, expected --yes, which takes the defaults")
    if is_asking:
        _tell(WELCOME)
    try:
        answers = collect(given, _ask if is_asking else None, _tell)
        write_study(answers["study"], compose_study(answers))
    except (KeyboardInterrupt, EOFError):
        _say("")  # the terminal's ^C has a line of its own
        raise UserError("stopped; nothing is written") from None
    _say(_closing(answers))


def _ask(prompt: str) -> str:
    return ask(printable(prompt))


def _say(text: str) -> None:
    print(printable(text, kept="\n"), flush=True)  # noqa: T201


def _tell(text: str) -> None:
    """Show a line of the dialogue, broken at words and with its own margin."""
    columns = shutil.get_terminal_size().columns - 1
    margin = text[: len(text) - len(text.lstrip(" "))]
    for line in text.split("\n"):
        _say(textwrap.fill(line, columns, subsequent_indent=margin, break_on_hyphens=False))


def _closing(answers: dict[str, Any]) -> str:
    """Return what is written, and the commands that come next."""
    study, output = (shlex.quote(str(answers[name])) for name in ("study", "output"))
    return as_called(
        f"\nwritten: {answers['study']}\n\n"
        f"a first look:  python -m losscape_mpi.surface {study} --preview\n"
        f"all points:    python -m losscape_mpi.surface {study}\n"
        f"the figures:   python -m losscape_mpi.render {output}"
    )


def make_parser() -> CommandParser:
    """Return the parser of the command line."""
    parser = CommandParser(
        prog="python -m losscape_mpi.init",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for question in QUESTIONS:
        name = "study" if question.name == "study" else f"--{question.name}"
        settings: dict[str, Any] = {"nargs": "?"} if question.name == "study" else {}
        kind = Path if question.is_path else str
        parser.add_argument(
            name, metavar=question.metavar, help=question.help, type=kind, **settings
        )
    parser.add_argument("--yes", action="store_true", help="ask nothing, take the defaults")
    parser.add_argument("--list-examples", action="store_true", help="list the examples, and stop")
    parser.add_argument(
        "--copy-examples",
        metavar="FOLDER",
        type=Path,
        help="copy the folders configs, jobs and slurm into a folder, and stop",
    )
    return parser


if __name__ == "__main__":
    run_command(main)
