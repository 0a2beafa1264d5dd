"""Command: train a network by a recipe and write its checkpoint.

python -m losscape_mpi.train configs/train/digits.yaml --set epochs=5
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from losscape_mpi.command import COMPLETE, CommandParser, run_command
from losscape_mpi.problem.build import Problem, build_problem
from losscape_mpi.problem.checkpoint import write_state
from losscape_mpi.store.create import check_writable
from losscape_mpi.training.config import TrainConfig, load_recipe
from losscape_mpi.training.sgd import measure, train

logger = logging.getLogger(__name__)

NUM_REPORTS = 10  # lines of progress in a whole training
_PATHS: Any = {"output": True, "problem": {"checkpoint": True, "data": {"root": True}}}


def main(argv: Sequence[str] | None = None) -> int:
    """Train the network of a recipe, write its checkpoint and return the exit code.

    Args:
        argv: Arguments of the command; None takes those of the process.

    Raises:
        UserError: If the recipe cannot be followed.
    """
    arguments = _parser().parse_args(argv)
    config = load_recipe(arguments.recipe, arguments.set)
    check_writable(config.output)
    problem = build_problem(config.problem)
    every = max(1, config.epochs // NUM_REPORTS)

    def report(epoch: int) -> None:
        if epoch % every == 0 or epoch == config.epochs:
            logger.info("epoch %d of %d: %s", epoch, config.epochs, _as_text(measure(problem)))

    values = train(problem, config, report)
    write_state(config.output, problem.model.state_dict(), _metadata(config, problem, values))
    print(f"{config.output}: {_as_text(values)}")  # noqa: T201
    return COMPLETE


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m losscape_mpi.train",
        description="Train a network by a recipe and write its checkpoint.",
    )
    parser.add_argument("recipe", type=Path, help="a YAML file, e.g. configs/train/digits.yaml")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="replace a value of the recipe, e.g. --set epochs=5 (may be repeated)",
    )
    return parser


def _metadata(config: TrainConfig, problem: Problem, values: dict[str, float]) -> dict[str, str]:
    """Return what made a checkpoint, as the text of its header; no path of this machine."""
    recipe = config.model_dump(mode="json", exclude=_PATHS)
    return {
        "recipe": json.dumps(recipe, sort_keys=True),
        "start": json.dumps(problem.hashes, sort_keys=True),
        "torch": torch.__version__,
        **{name: repr(value) for name, value in values.items()},
    }


def _as_text(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in values.items())


if __name__ == "__main__":
    run_command(main)
