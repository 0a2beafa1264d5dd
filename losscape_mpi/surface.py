"""Compute the loss surface of a study, or the missing points of one.

    mpirun -n 8 python -m losscape_mpi.surface [STUDY] [--set KEY=VALUE ...]

Without a study: the built-in one, a small network on scikit-learn's digits.
Without mpirun: the same run with one worker.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from losscape_mpi.command import COMPLETE, CommandParser, add_no_code, run_command
from losscape_mpi.errors import QuietError, UserError
from losscape_mpi.farm.host.launcher import connect, library_name, read_launch
from losscape_mpi.farm.pool import Pool
from losscape_mpi.run.interrupt import StopRequest
from losscape_mpi.run.ranks import with_ranks
from losscape_mpi.study.code import comment_on_code, refuse_code
from losscape_mpi.study.comments import comment_study
from losscape_mpi.study.config import Study
from losscape_mpi.study.farm_config import FarmConfig
from losscape_mpi.study.load import dump_study, load_study
from losscape_mpi.study.output import with_output
from losscape_mpi.study.preview import preview
from losscape_mpi.terminal.device import tell_terminal


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command on this rank; returns its exit code."""
    is_first = read_launch(os.environ).rank == 0
    options = _parse(argv) if is_first else _parse_quietly(argv)
    if options.print_study:
        if is_first:
            study = _load(options)
            text = comment_study(study) if options.comments else dump_study(study)
            print(comment_on_code(study) + text, end="")  # noqa: T201
        return COMPLETE
    comm = connect()
    run = _Run(options, comm)
    return with_ranks(comm, run.load, run.work)


class _Run:
    """What rank 0 does: load the study, then compute it."""

    def __init__(self, options: argparse.Namespace, comm: Any) -> None:
        self._options, self._comm = options, comm

    def load(self) -> FarmConfig:
        self._stopping = StopRequest(os.environ)
        self._study = _load(self._options)
        return self._study.farm

    def work(self, pool: Pool) -> int:
        # Here and not above: torch takes seconds to import, while the workers start theirs.
        from losscape_mpi.run.compute import compute

        outcome = compute(
            self._study,
            pool,
            self._stopping,
            launcher=library_name(self._comm),
            fresh=self._options.fresh,
            takes_fewer=self._options.preview,
        )
        if outcome.text:
            print(outcome.text)  # noqa: T201
            if self._stopping.has_signal and read_launch(os.environ).is_open_mpi:
                tell_terminal(outcome.text, os.environ)  # its mpirun shows nothing after Ctrl-C
        return outcome.code


def _load(options: argparse.Namespace) -> Study:
    study = load_study(options.study, options.set)
    if options.no_code:
        refuse_code(options.study or study.name, study.problem, study.metrics)
    study = with_output(study, options.output)
    return preview(study) if options.preview else study


def _parse_quietly(argv: Sequence[str] | None) -> argparse.Namespace:
    # Every rank finds the same mistake, or the same --help: rank 0 alone speaks.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return _parse(argv)
        except UserError as error:
            raise QuietError(str(error)) from error


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    options = make_parser().parse_args(argv)
    if options.comments and not options.print_study:
        raise UserError("found --comments without --print-study, expected both: nothing is printed")
    return options


def make_parser() -> CommandParser:
    """Return the parser of the command line."""
    parser = CommandParser(
        prog="python -m losscape_mpi.surface",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", nargs="?", type=Path, help="YAML file; default: built-in digits")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one setting, e.g. grid.alpha=[-1,1,5]; repeatable",
    )
    parser.add_argument("-o", "--output", type=Path, help="surface file (default: the study's)")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="keep an existing file under a backup name and start anew",
    )
    parser.add_argument(
        "--preview",
        action="store_true",
        help="at most 11 points an axis and 256 samples, into NAME.preview.h5",
    )
    _add_printing(parser)
    add_no_code(parser)
    return parser


def _add_printing(parser: CommandParser) -> None:
    parser.add_argument(
        "--print-study", action="store_true", help="print the study with every default, and stop"
    )
    parser.add_argument(
        "--comments", action="store_true", help="with --print-study: each key under its meaning"
    )


if __name__ == "__main__":
    run_command(main)
