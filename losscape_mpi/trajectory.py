"""Project a training path onto the plane of a surface, and store it in the surface file.

    python -m losscape_mpi.trajectory STUDY FOLDER [--name sgd] [--no-loss]

STUDY is the file that the surface was computed from, FOLDER the training's checkpoints
(path.folder of its recipe); several files are taken in the order given. For each checkpoint:
its least-squares coordinates, its distance from the plane, and its own loss beside that of its
projection. The path is drawn by losscape_mpi.render.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from losscape_mpi.command import COMPLETE, CommandParser, add_no_code, run_command
from losscape_mpi.study.code import refuse_code
from losscape_mpi.study.load import load_study
from losscape_mpi.study.output import with_output


def main(argv: Sequence[str] | None = None) -> int:
    """Project a path, print it, store it; returns the exit code.

    Raises:
        UserError: If the surface file is missing, of another study or held by a run, or a
            checkpoint is not of its network.
    """
    options = make_parser().parse_args(argv)
    study = load_study(options.study, options.set)
    if options.no_code:
        refuse_code(options.study, study.problem, study.metrics)
    study = with_output(study, options.output)
    # Here and not above: torch takes seconds to import, and --help needs none.
    from losscape_mpi.geometry.trajectory.rows import checkpoint_files
    from losscape_mpi.run.trajectory import follow_path
    from losscape_mpi.store.attach import attach_trajectory, check_attachable
    from losscape_mpi.store.reader import read_surface
    from losscape_mpi.terminal.trajectory_table import print_trajectory

    name = options.name or _name_of(options.path)
    check_attachable(study.output, name, options.fresh)
    one = options.path[0] if len(options.path) == 1 else options.path
    trajectory = follow_path(study, checkpoint_files(one), not options.no_loss)
    attach_trajectory(study.output, name, trajectory, options.fresh)
    print_trajectory(name, trajectory, study.output, read_surface(study.output).columns)
    return COMPLETE


def _name_of(paths: Sequence[Path]) -> str:
    """Return the name of a folder of checkpoints, or of the folder that the files lie in."""
    first = paths[0].resolve()
    return first.name if first.is_dir() else first.parent.name


def make_parser() -> CommandParser:
    """Return the parser of the command line."""
    parser = CommandParser(
        prog="python -m losscape_mpi.trajectory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", type=Path, help="YAML file of the surface")
    parser.add_argument(
        "path",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="folder of the path's checkpoints, or the files in order",
    )
    parser.add_argument("--name", help="of the path in the file (default: the folder's)")
    parser.add_argument(
        "--no-loss", action="store_true", help="coordinates and residuals alone, no evaluation"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as for the surface"
    )
    parser.add_argument("-o", "--output", type=Path, help="surface file (default: the study's)")
    parser.add_argument(
        "--fresh", action="store_true", help="replace a path of the same name in the file"
    )
    add_no_code(parser)
    return parser


if __name__ == "__main__":
    run_command(main)
