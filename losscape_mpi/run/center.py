"""The values at the center: in words, held against what a trained network gives, and the file's."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.problem.data.load import own_constants
from losscape_mpi.problem.record import recorded_accuracy
from losscape_mpi.problem.zoo.trained import is_normalized_so, known_checkpoint
from losscape_mpi.run.prepare import Prepared
from losscape_mpi.run.row_text import described
from losscape_mpi.study.code import is_callable_spec
from losscape_mpi.study.config import DataConfig, Study

logger = logging.getLogger(__name__)

SAME = 1e-3  # relative; devices and releases differ by 1e-5 at most
TINY = 1e-6  # of a loss: below it rounding decides
FAR_BELOW = 0.03  # an accuracy beside the checkpoint's own record
NUM_SIGMA = 4.0
FEW = 64  # samples: a second of a large network
EXACT = ("float32", "float64", "tf32")


def say_center(prepared: Prepared, row: np.ndarray) -> None:
    """Log the values at the center, or of a path's first checkpoint, and what is strange there."""
    where = "at the center" if prepared.study.path is None else "first checkpoint:"
    words = f"{where} {described(prepared.columns, row)}{few_accuracies(prepared)}"
    logger.info("%s: %s", prepared.study.output, words)
    for line in doubts(prepared, row):
        logger.warning("%s", line)


def few_accuracies(prepared: Prepared) -> str:
    """Return the accuracy on a few samples of each split whose accuracy is not computed.

    Empty where there is none: no labels, no outputs by class, or checkpoints in place of a center.
    """
    if prepared.study.path is not None:
        return ""
    problem, computed = prepared.problem, {column.name for column in prepared.columns}
    parts = []
    for name, data in problem.splits.items():
        if f"{name}/accuracy" in computed or data.num_classes is None or data.targets.ndim != 1:
            continue
        with torch.no_grad():
            outputs = problem.model(data.inputs[:FEW])
        if outputs.ndim == 2 and outputs.shape[1] >= data.num_classes:
            share = float((outputs.argmax(dim=1) == data.targets[:FEW]).double().mean())
            parts.append(f"{name}/accuracy {share:.4g} on the first {len(outputs)} samples")
    return "".join(f", {part}" for part in parts)


def doubts(prepared: Prepared, row: np.ndarray) -> list[str]:
    """Return what is strange about the values at the center of a trained network, a line each.

    Args:
        prepared: The study; only with a checkpoint is the network known to be trained.
        row: Its values at the center.
    """
    study, problem = prepared.study, prepared.problem
    if study.path is not None or study.problem.checkpoint is None:
        return []
    lines = [*_other_inputs(study.problem.data, problem.hashes)]
    numbers = dict(zip((c.name for c in prepared.columns), row.tolist(), strict=True))
    record = recorded_accuracy(study.problem.checkpoint)
    for split, data in problem.splits.items():
        if data.num_classes is not None and data.num_classes > 1:
            lines += _of_split(study, split, len(data.targets), data.num_classes, numbers, record)
    return lines


def check_same_center(
    prepared: Prepared,
    choices: Mapping[str, Any],
    found: np.ndarray,
    known: np.ndarray,
    who: str,
) -> None:
    """Refuse to put values of another network, other data or another loss beside a file's.

    Args:
        prepared: The study.
        choices: A low precision may differ by its own tolerance.
        found: A worker's row at the center.
        known: That of the file or of the first worker.
        who: The worker, for the message.

    Raises:
        UserError: If a loss differs by more than 0.1 %, or an accuracy by more than 0.01.
    """
    is_exact = str(choices.get("precision", "float32")) in EXACT
    relative = SAME if is_exact else max(SAME, prepared.study.evaluation.precision_tolerance)
    for column, here, there in zip(prepared.columns, found, known, strict=True):
        bound = relative * abs(there) + TINY if column.quantity == "loss" else 10 * SAME
        is_judged = column.role == "value" and (column.quantity == "loss" or column.is_share)
        if is_judged and not _is_near(float(here), float(there), bound):
            where = "at the center" if prepared.study.path is None else "of the first checkpoint"
            raise UserError(
                f"{prepared.study.output}: {column.name} {where} is {here:.6g} for {who} and "
                f"{there:.6g} in the file, expected the same: something that the model, the loss "
                "or the data is made of has changed (an imported module, a library, a data file); "
                "restore it, or pass --fresh to keep that file under a backup name and start anew"
            )


def _is_near(here: float, there: float, bound: float) -> bool:
    if not (math.isfinite(here) and math.isfinite(there)):
        return here == there or (math.isnan(here) and math.isnan(there))
    return abs(here - there) <= bound


def _other_inputs(data: DataConfig, hashes: Mapping[str, Any]) -> Iterator[str]:
    known = known_checkpoint(hashes)
    own_mean, own_std = own_constants(data.name)
    mean = own_mean if data.mean is None else data.mean
    std = own_std if data.std is None else data.std
    is_unknown = is_callable_spec(data.name) and not (len(mean) or len(std))
    if known is None or is_unknown or is_normalized_so(mean, std, known):
        return
    found, wanted = (_constants(*pair) for pair in ((mean, std), (known.mean, known.std)))
    yield (
        f"warning: the checkpoint is {known.name}, which was trained on inputs with {wanted}; "
        f"found {found} in problem.data: all values are those of other inputs"
    )


def _constants(mean: Sequence[float], std: Sequence[float]) -> str:
    mean_text, std_text = (
        "[" + ", ".join(f"{x:.4g}" for x in values) + "]" if len(values) else "none"
        for values in (mean, std)
    )
    return f"mean {mean_text} and std {std_text}"


def _of_split(
    study: Study,
    split: str,
    samples: int,
    classes: int,
    numbers: Mapping[str, float],
    record: float | None,
) -> Iterator[str]:
    """Yield what is strange about the values of a split with labels."""
    accuracy, loss = numbers.get(f"{split}/accuracy"), numbers.get(f"{split}/loss")
    look = "look at problem.data (mean, std, labels) and problem.model"
    if accuracy is not None and accuracy <= 1 / classes:
        yield (
            f"warning: {split}/accuracy {accuracy:.4g} at the center is no better than chance "
            f"({1 / classes:.3g}): {look}"
        )
    elif accuracy is not None and record is not None:
        spread = math.sqrt(record * (1 - record) / samples)
        if accuracy < record - max(FAR_BELOW, NUM_SIGMA * spread):
            yield (
                f"warning: {split}/accuracy {accuracy:.4g} at the center is far below "
                f"{record:.4g}, which the checkpoint records: {look}"
            )
    is_guess = loss is not None and loss >= math.log(classes)
    if accuracy is None and study.problem.loss == "cross_entropy" and is_guess:
        yield (
            f"warning: {split}/loss {loss:.4g} at the center is no better than chance "
            f"({math.log(classes):.3g}): {look}"
        )
