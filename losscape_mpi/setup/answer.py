"""How each answer of `init` is read and checked."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from losscape_mpi.errors import UserError
from losscape_mpi.study.code import TIMM_PREFIX, is_callable_spec
from losscape_mpi.study.data_sets import DATA_SETS

Answers = Mapping[str, Any]
BUILTIN, NONE, ALL = "built-in", "none", "all"
SPLITS = ("train", "test")


def read_checkpoint(text: str, _: Answers) -> Any:
    """Return what a checkpoint holds, beside its path; BUILTIN or NONE as they are.

    Raises:
        UserError: If it is no readable checkpoint.
    """
    if text in (BUILTIN, NONE):
        return text
    # Here and not above: torch takes seconds to import.
    from losscape_mpi.setup.proposal import look_into

    return look_into(read_path(text))


def read_key(text: str, answers: Answers) -> str:
    """Return which part of the checkpoint is meant.

    Raises:
        UserError: If it has no such part.
    """
    look = answers["checkpoint"]
    keys = [] if isinstance(look, str) else look.keys
    if text not in keys:
        raise UserError(f"found the part {text!r}, expected {' or '.join(keys) or 'none'}")
    return text


def read_model(text: str, _: Answers) -> str:
    """Return the name of a network.

    Raises:
        UserError: If it is none of the zoo, and of no other form.
    """
    if not is_callable_spec(text) and not text.startswith(TIMM_PREFIX):
        from losscape_mpi.problem.zoo.registry import check_name

        check_name(text)
    return text


def read_data(text: str, _: Answers) -> str:
    """Return the name of a data set.

    Raises:
        UserError: If there is none of that name, with the nearest.
    """
    if text in DATA_SETS or is_callable_spec(text):
        return text
    hint = "".join(f" (nearest: {near})" for near in difflib.get_close_matches(text, DATA_SETS, 1))
    names = ", ".join(DATA_SETS)
    raise UserError(f"found data {text!r}, expected {names} or package.module:callable{hint}")


def read_root(text: str, answers: Answers) -> Path:
    """Return where the data lies.

    Raises:
        UserError: If nothing is there.
    """
    path = read_path(text)
    if not path.exists():
        raise UserError(f"found no file or folder {path}, expected the data of {answers['data']}")
    return path


def read_splits(text: str, _: Answers) -> list[str]:
    """Return the splits of a list with commas.

    Raises:
        UserError: If one is unknown or stands twice.
    """
    names = [name.strip() for name in text.split(",")]
    if not set(names) <= set(SPLITS) or len(set(names)) < len(names):
        raise UserError(f"found splits {text!r}, expected train, test or train,test")
    return names


def read_samples(text: str, _: Answers) -> int | None:
    """Return a number of samples, None for all."""
    return None if text == ALL else _count(text, 1, "a number of samples, or all")


def read_points(text: str, _: Answers) -> int:
    """Return the number of points on an axis."""
    return _count(text, 2, "a number of points of 2 or more")


def read_study(text: str, _: Answers) -> Path:
    """Return the path of a new study.

    Raises:
        UserError: If something is there already, or the name does not end as one of YAML.
    """
    path = read_path(text)
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"found the study file {path}, expected a name that ends .yaml")
    if os.path.lexists(path):
        raise UserError(f"{path} is there already and stays as it is: choose another name")
    return path


def read_output(text: str, _: Answers) -> Path:
    """Return the path of the surface file.

    Raises:
        UserError: If the name does not end .h5.
    """
    path = read_path(text)
    if path.suffix != ".h5":
        raise UserError(f"found the surface file {path}, expected a name that ends .h5")
    return path


def read_path(text: str) -> Path:
    """Return a path as the user wrote it, his home folder filled in."""
    return Path(os.path.expanduser(text))


def _count(text: str, least: int, what: str) -> int:
    if not text.isdecimal() or not least <= int(text) <= 10**6:
        raise UserError(f"found {text!r}, expected {what}")
    return int(text)
