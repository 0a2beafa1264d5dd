"""Train networks by recipes where they are not trained yet, animate their paths.

    python -m losscape_mpi.animate RECIPE.yaml [RECIPE.yaml ...] [--jobs N]

For each recipe with a path: NAME_pca.h5, the surface on the plane of the path's
two principal directions, and NAME_animation.gif and .mp4: the path grows over
this surface, beside the decision regions if the samples are points in a plane.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from losscape_mpi.command import (
    COMPLETE,
    MISTAKE,
    RESUMABLE,
    CommandParser,
    add_no_code,
    run_command,
)
from losscape_mpi.farm.host.cores import affinity
from losscape_mpi.figures.movie.file import MAX_GIF_FPS
from losscape_mpi.run.interrupt import SIGNALS, StopRequest
from losscape_mpi.study.code import refuse_code
from losscape_mpi.study.option import count_within, read_count
from losscape_mpi.training.config import TrainConfig, load_recipe
from losscape_mpi.training.processes import end_with_parent, run_at_once


def main(argv: Sequence[str] | None = None) -> int:
    """Animate the paths of recipes and return the exit code.

    Raises:
        UserError: If a recipe cannot be followed or has no path.
    """
    options = make_parser().parse_args(argv)
    configs = [load_recipe(path, options.set) for path in options.recipes]
    if options.no_code:
        for path, config in zip(options.recipes, configs, strict=True):
            refuse_code(path, config.problem)
    end_with_parent()
    with _stop_request() as stopping:
        if len(configs) == 1:
            return _animate(configs[0], options, stopping)
        codes = set(run_at_once(_commands(options), options.jobs, stopping))
        if stopping() or RESUMABLE in codes:
            return RESUMABLE
        return COMPLETE if codes <= {COMPLETE} else MISTAKE


def _animate(config: TrainConfig, options: argparse.Namespace, stopping: StopRequest) -> int:
    # Here and not above: torch takes seconds to import, and the command of several needs none.
    from losscape_mpi.figures.line.training_curve import save_training_curve
    from losscape_mpi.run.animation import animate
    from losscape_mpi.run.path_study import path_folder
    from losscape_mpi.training.follow import follow

    path_folder(config)  # a recipe without one is refused before it is trained
    if not follow(config, False, stopping, save_training_curve):
        return RESUMABLE
    threads = max(1, len(affinity()) // options.jobs)
    movies = animate(config, options.points, options.fps, threads, options.fresh, stopping)
    for movie in movies:
        print(movie)  # noqa: T201
    return COMPLETE if movies else RESUMABLE


def _commands(options: argparse.Namespace) -> list[list[str]]:
    shared = [word for text in options.set for word in ("--set", text)]
    shared += ["--points", str(options.points), "--fps", str(options.fps)]
    shared += ["--jobs", str(options.jobs), *["--fresh"] * options.fresh]
    command = [sys.executable, "-m", "losscape_mpi.animate"]
    return [[*command, str(recipe), *shared] for recipe in options.recipes]


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
        prog="python -m losscape_mpi.animate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "recipes", nargs="+", type=Path, metavar="RECIPE", help="YAML files of trainings"
    )
    parser.add_argument(
        "--jobs", metavar="N", type=read_count, default=1, help="recipes at a time (default: 1)"
    )
    parser.add_argument(
        "--points", metavar="N", type=count_within(3), default=31, help="of each axis (default: 31)"
    )
    parser.add_argument(
        "--fps", metavar="N", type=count_within(1, MAX_GIF_FPS), default=10, help="default: 10"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as for losscape_mpi.train"
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="keep existing surface files under a backup name; trainings stay as they are",
    )
    add_no_code(parser)
    return parser


if __name__ == "__main__":
    run_command(main)
