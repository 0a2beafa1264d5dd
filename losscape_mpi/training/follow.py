"""One training, from its recipe to its files: begun, taken up again, or found complete."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from losscape_mpi.errors import first_line
from losscape_mpi.files import check_writable
from losscape_mpi.lock_file import LockFile
from losscape_mpi.problem.build import Problem, build_problem
from losscape_mpi.training.checkpointer import Checkpointer
from losscape_mpi.training.config import TrainConfig
from losscape_mpi.training.files import TrainingFiles
from losscape_mpi.training.identity import refuse_other_training
from losscape_mpi.training.loop import DivergedError, train
from losscape_mpi.training.reporter import Reporter, full_text
from losscape_mpi.training.session import Row, Session, begin, reproducible
from losscape_mpi.training.state_file import read_header, restore

logger = logging.getLogger(__name__)

Draw = Callable[[Sequence[Row], str, Path], None]


def follow(config: TrainConfig, fresh: bool, stopping: Callable[[], bool], draw: Draw) -> bool:
    """Follow a recipe from where its files stand; returns whether the training is complete.

    Args:
        config: The recipe; paths are absolute or relative to the current folder.
        fresh: Whether to keep existing files under a backup name and start anew.
        stopping: Asked after each step whether to stop.
        draw: Makes the figure of what was measured: of rows and a title, at a path.

    Raises:
        UserError: If the files are of another training, or the recipe cannot be followed.
    """
    check_writable(config.output)
    lock = LockFile(config.output)
    try:
        files = TrainingFiles(config)
        files.remove_partial()
        problem = build_problem(config.problem, seed=config.init_seed)
        if fresh:
            for path in files.back_up():
                logger.info("kept as %s", path)
        if config.output.exists():
            _report_complete(files, config, problem)
            return True
        return _go_on(files, config, problem, stopping, draw)
    finally:
        lock.release()


def _report_complete(files: TrainingFiles, config: TrainConfig, problem: Problem) -> None:
    header = read_header(files.output)
    refuse_other_training(files.output, header, config, problem.hashes)
    files.state.unlink(missing_ok=True)  # a run may have been killed before it did so
    names = [f"{split}/{m}" for split in problem.splits for m in ("loss", "accuracy")]
    values = {name: float(header[name]) for name in names if name in header}
    print(f"{files.output}: complete, nothing to do: {full_text(values)}")  # noqa: T201


def _go_on(
    files: TrainingFiles,
    config: TrainConfig,
    problem: Problem,
    stopping: Callable[[], bool],
    draw: Draw,
) -> bool:
    with reproducible(config):
        session = begin(problem, config)
        if files.state.exists():
            _take_up(session, files)
        else:
            files.refuse_foreign_path()
        checkpointer = Checkpointer(session, files, Reporter(session), stopping)
        try:
            is_finished = train(session, checkpointer)
        except DivergedError:
            checkpointer.give_up()
            raise
        if len(session.rows) > 1:
            _draw(draw, session, files)
        if is_finished:
            print(f"{files.output}: {full_text(checkpointer.finish())}")  # noqa: T201
        else:
            _report_stopped(session)
    return is_finished


def _draw(draw: Draw, session: Session, files: TrainingFiles) -> None:
    """Draw the curve; a training is not lost to a figure."""
    try:
        draw(session.rows, _title(session.config), files.curve)
    except Exception as error:
        logger.warning(
            "warning: %s cannot be drawn (%s); its numbers are in %s",
            files.curve,
            first_line(error),
            files.metrics,
        )


def _take_up(session: Session, files: TrainingFiles) -> None:
    header = read_header(files.state)
    refuse_other_training(files.state, header, session.config, session.hashes)
    if header.get("torch") != torch.__version__:
        logger.warning(
            "warning: %s was written by torch %s, this is %s: the weights may differ in some bits",
            files.state,
            header.get("torch"),
            torch.__version__,
        )
    restore(session, files.state)


def _report_stopped(session: Session) -> None:
    logger.info(
        "%s: stopped in epoch %d of %d after step %d; run the same command again to go on",
        session.config.output.stem,
        session.epoch + 1,
        session.config.epochs,
        session.step,
    )


def _title(config: TrainConfig) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in config.problem.model_args.items())
    model = f"{config.problem.model} ({settings})" if settings else config.problem.model
    parts = [f"{model} on {config.problem.data.name}", config.optimizer]
    parts += [f"lr {config.lr:g}", f"batch {config.batch_size}", f"seed {config.seed}"]
    return ", ".join(parts)
