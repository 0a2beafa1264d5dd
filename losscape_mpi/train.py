"""Command: train networks by recipes and write their checkpoints.

python -m losscape_mpi.train configs/train/digits.yaml --set epochs=5
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from losscape_mpi.command import (
    COMPLETE,
    MISTAKE,
    RESUMABLE,
    CommandParser,
    add_no_code,
    report,
    run_command,
)
from losscape_mpi.errors import UserError
from losscape_mpi.run.interrupt import SIGNALS, StopRequest
from losscape_mpi.study.code import refuse_code
from losscape_mpi.study.option import read_count
from losscape_mpi.training.config import TrainConfig, load_recipe
from losscape_mpi.training.processes import end_with_parent, run_at_once

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Train the networks of recipes, write their checkpoints and return the exit code.

    Args:
        argv: Arguments of the command; None takes those of the process.

    Raises:
        UserError: If a recipe cannot be followed; of several, the others are followed first.
    """
    arguments = make_parser().parse_args(argv)
    configs = [load_recipe(path, arguments.set) for path in arguments.recipes]
    if arguments.no_code:
        for path, config in zip(arguments.recipes, configs, strict=True):
            refuse_code(path, config.problem)
    _refuse_shared_places(configs)
    end_with_parent()
    with _stop_request() as stopping:
        if len(configs) > 1 and arguments.jobs > 1:
            codes = run_at_once(_commands(arguments), arguments.jobs, stopping)
            return _summary(codes, stopping)
        if len(configs) == 1:
            return _train(configs[0], arguments.fresh, stopping)
        return _summary(_one_after_another(configs, arguments.fresh, stopping), stopping)


def _train(config: TrainConfig, fresh: bool, stopping: StopRequest) -> int:
    # Here and not above: torch takes seconds to import, and the command of several needs none.
    from losscape_mpi.figures.line.training_curve import save_training_curve
    from losscape_mpi.training.follow import follow

    return COMPLETE if follow(config, fresh, stopping, save_training_curve) else RESUMABLE


def _one_after_another(
    configs: Sequence[TrainConfig], fresh: bool, stopping: StopRequest
) -> Iterator[int]:
    for config in configs:
        if stopping():
            return
        try:
            yield _train(config, fresh, stopping)
        except UserError as error:
            report(error)
            yield MISTAKE


def _summary(codes: Sequence[int] | Iterator[int], stopping: StopRequest) -> int:
    """Return one exit code for several trainings: what was stopped goes on, then what failed."""
    found = set(codes)
    if stopping() or RESUMABLE in found:
        return RESUMABLE
    return COMPLETE if found <= {COMPLETE} else MISTAKE


def _commands(arguments: argparse.Namespace) -> list[list[str]]:
    options = [part for text in arguments.set for part in ("--set", text)]
    options += ["--fresh"] if arguments.fresh else []
    command = [sys.executable, "-m", "losscape_mpi.train"]
    return [[*command, str(recipe), *options] for recipe in arguments.recipes]


def _refuse_shared_places(configs: Sequence[TrainConfig]) -> None:
    places = [Path(os.path.abspath(config.output)) for config in configs]
    places += [Path(os.path.abspath(c.path.folder)) for c in configs if c.path is not None]
    place, count = Counter(places).most_common(1)[0]
    if count > 1:
        raise UserError(
            f"{count} recipes write {place}, expected a place of its own for each: train them in "
            "separate commands, or change output and path.folder"
        )


@contextmanager
def _stop_request() -> Iterator[StopRequest]:
    """Take over the signals that stop a run, and give them back."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield StopRequest(os.environ)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def make_parser() -> CommandParser:
    """Return the parser of the command line."""
    parser = CommandParser(
        prog="python -m losscape_mpi.train",
        description="Train networks by recipes and write their checkpoints, or go on with "
        "trainings that were stopped.",
    )
    parser.add_argument(
        "recipes",
        metavar="recipe",
        type=Path,
        nargs="+",
        help="YAML files, e.g. configs/train/digits.yaml",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="replace a value of every recipe, e.g. --set epochs=5 (may be repeated)",
    )
    parser.add_argument(
        "--jobs", metavar="N", type=read_count, default=1, help="train N recipes at a time"
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="keep the files of an earlier training under a backup name and start anew",
    )
    add_no_code(parser)
    return parser


if __name__ == "__main__":
    run_command(main)
