"""How each answer of `init` is read, and what Enter takes for it."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from losscape_mpi.errors import UserError
from losscape_mpi.study.code import TIMM_PREFIX, is_callable_spec
from losscape_mpi.study.data_sets import DATA_SETS

Answers = Mapping[str, Any]
BUILTIN, NONE, ALL = "built-in", "none", "all"
BUILTIN_MODEL, BUILTIN_DATA = "digits_resnet", "digits"
FEW_SAMPLES = 1000  # as the examples of CIFAR-10 in configs/ take
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


def likely_checkpoint(answers: Answers) -> str | None:
    """Return the built-in checkpoint, or none where a network is named already."""
    return NONE if answers.get("model") else BUILTIN


def seen_in_checkpoint(answers: Answers) -> str:
    """Return what was seen in the checkpoint: its size, and the networks that it fits."""
    look = answers["checkpoint"]
    if isinstance(look, str):
        return ""
    size = f"{look.num_tensors} tensors, {look.num_values:,} numbers"
    if not look.proposals:
        return f"{size}, the first is {look.first}: no network of the zoo has these"
    first, *others = (proposal.model for proposal in look.proposals)
    return f"{size}: {first} of the zoo has these" + (f", {', '.join(others)} too" * bool(others))


def is_own_network(answers: Answers) -> bool:
    """Tell whether network and data are the user's to say."""
    return answers["checkpoint"] != BUILTIN


def read_model(text: str, _: Answers) -> str:
    """Return the name of a network.

    Raises:
        UserError: If it is none of the zoo, and of no other form.
    """
    if not is_callable_spec(text) and not text.startswith(TIMM_PREFIX):
        from losscape_mpi.problem.zoo.registry import check_name

        check_name(text)
    return text


def likely_model(answers: Answers) -> str | None:
    """Return the network that the checkpoint fits."""
    proposals = getattr(answers["checkpoint"], "proposals", [])
    return proposals[0].model if proposals else None


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


def likely_data(answers: Answers) -> str | None:
    """Return a data set that the network takes, told by the checkpoint's shapes."""
    proposals = getattr(answers["checkpoint"], "proposals", [])
    return next((p.data for p in proposals if p.model == answers["model"]), None)


def has_root(answers: Answers) -> bool:
    """Tell whether the data lies in files that the user has to name."""
    data = answers.get("data", BUILTIN_DATA)
    return data in DATA_SETS and "root" in DATA_SETS[data].reads


def read_root(text: str, answers: Answers) -> Path:
    """Return where the data lies.

    Raises:
        UserError: If nothing is there.
    """
    path = read_path(text)
    if not path.exists():
        raise UserError(f"found no file or folder {path}, expected the data of {answers['data']}")
    return path


def likely_root(answers: Answers) -> str | None:
    """Return the folder of CIFAR-10 where it lies here or near the checkpoint."""
    from losscape_mpi.problem.data.cifar10 import FOLDERS

    if answers["data"] != "cifar10":
        return None
    near = getattr(answers["checkpoint"], "path", Path())
    places = (Path(), Path("data"), near.parent, near.parent.parent)
    found = (place / name for place in places for name in FOLDERS)
    return next((os.path.normpath(path) for path in found if path.is_dir()), None)


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


def likely_samples(answers: Answers) -> str:
    """Return all samples of a small data set, some of one that lies in files."""
    return str(FEW_SAMPLES) if has_root(answers) else ALL


def read_points(text: str, _: Answers) -> int:
    """Return the number of points on an axis."""
    return _count(text, 2, "a number of points of 2 or more")


def likely_points(answers: Answers) -> str:
    """Return 51, the 2018 paper's; 25 for the built-in study, as it has."""
    return "51" if is_own_network(answers) else "25"


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


def likely_study(answers: Answers) -> str:
    """Return a name after the checkpoint or the network."""
    near = getattr(answers["checkpoint"], "path", None)
    name = near.stem if near else answers.get("model", "digits")
    return re.sub(r"[^\w.+-]+", "_", name.rpartition(":")[2]) + ".yaml"


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
