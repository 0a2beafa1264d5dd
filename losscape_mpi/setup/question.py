"""The questions of `init`: a row each, with its option, its default and how an answer is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from losscape_mpi.setup import answer, default

Answers = Mapping[str, Any]  # of the questions before, by name


def _always(_: Answers) -> bool:
    return True


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        name: Of the answer, and of the option --name.
        text: What is asked.
        metavar: What the option's help calls the answer.
        help: What the option's help says.
        read: Makes a value of an answer, or raises a UserError that says what is wrong.
        default: The answer that Enter takes, of the answers before; None where there is none.
        applies: Whether it is asked at all, of the answers before.
        is_path: Whether a shell completes it by files.
        told: What is said once it is answered, of the answers so far; empty for nothing.
    """

    name: str
    text: str
    metavar: str
    help: str
    read: Callable[[str, Answers], Any]
    default: Callable[[Answers], str | None]
    applies: Callable[[Answers], bool] = _always
    is_path: bool = False
    told: Callable[[Answers], str] = lambda _: ""


QUESTIONS = (
    Question(
        "checkpoint",
        f"Trained parameters: a checkpoint file, {answer.BUILTIN} (a small network on digits),\n"
        f"or {answer.NONE} (those that your callable returns)",
        "FILE",
        f"checkpoint of torch.save or safetensors, {answer.BUILTIN} or {answer.NONE}",
        answer.read_checkpoint,
        default.likely_checkpoint,
        is_path=True,
        told=default.seen_in_checkpoint,
    ),
    Question(
        "key",
        "Which of the networks that it holds",
        "NAME",
        "which part of a checkpoint that holds several networks, such as ema",
        answer.read_key,
        lambda _: None,  # which one is meant is the user's to say
        default.has_parts,
    ),
    Question(
        "model",
        "Network: a name of the zoo, timm:NAME, or package.module:callable for your own",
        "NAME",
        "network of the zoo, timm:NAME or package.module:callable (default: what the checkpoint "
        "fits)",
        answer.read_model,
        default.likely_model,
        default.is_own_network,
    ),
    Question(
        "data",
        "Data: cifar10, digits, spirals, npz (an NPZ file), or package.module:callable",
        "NAME",
        "data set, npz or package.module:callable",
        answer.read_data,
        default.likely_data,
        default.is_own_network,
    ),
    Question(
        "root",
        "Where the data lies: its folder, or the NPZ file",
        "PATH",
        "folder of cifar10, or file of npz",
        answer.read_root,
        default.likely_root,
        default.has_root,
        is_path=True,
    ),
    Question(
        "splits",
        "Splits: train, test, or train,test for both in one pass",
        "NAME,...",
        "train, test or both (default: train)",
        answer.read_splits,
        lambda _: "train",
    ),
    Question(
        "samples",
        "Samples of each split: a number drawn at random, or all",
        "N",
        "samples of each split, or all",
        answer.read_samples,
        default.likely_samples,
    ),
    Question(
        "points",
        "Points on each axis, from -1 to 1; an odd number has the center among them",
        "N",
        "points on each axis of the grid",
        answer.read_points,
        default.likely_points,
    ),
    Question(
        "study",
        "Study file to be written",
        "STUDY.yaml",
        "study file to be written (default: named after the checkpoint or network)",
        answer.read_study,
        default.likely_study,
        is_path=True,
    ),
    Question(
        "output",
        "Surface file that a run writes",
        "FILE.h5",
        "surface file that a run writes (default: runs/NAME.h5)",
        answer.read_output,
        lambda answers: f"runs/{answers['study'].stem}.h5",
        is_path=True,
    ),
)
