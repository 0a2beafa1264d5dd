"""What Enter takes for each answer of `init`, and which questions are asked at all."""

from __future__ import annotations

import os
import re
from pathlib import Path

from losscape_mpi.setup.answer import ALL, BUILTIN, NONE, Answers
from losscape_mpi.study.data_sets import DATA_SETS

BUILTIN_MODEL, BUILTIN_DATA = "digits_resnet", "digits"
FEW_SAMPLES = 1000  # as the examples of CIFAR-10 in configs/ take


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
    found = f"{size}: {first} of the zoo has these" + f", {', '.join(others)} too" * bool(others)
    return found + f"; the parts {', '.join(look.keys)} differ" * bool(look.keys)


def has_parts(answers: Answers) -> bool:
    """Tell whether the checkpoint holds several networks that differ."""
    return bool(getattr(answers["checkpoint"], "keys", []))


def is_own_network(answers: Answers) -> bool:
    """Tell whether network and data are the user's to say."""
    return answers["checkpoint"] != BUILTIN


def likely_model(answers: Answers) -> str | None:
    """Return the network that the checkpoint fits."""
    proposals = getattr(answers["checkpoint"], "proposals", [])
    return proposals[0].model if proposals else None


def likely_data(answers: Answers) -> str | None:
    """Return a data set that the network takes, told by the checkpoint's shapes."""
    proposals = getattr(answers["checkpoint"], "proposals", [])
    return next((p.data for p in proposals if p.model == answers["model"]), None)


def has_root(answers: Answers) -> bool:
    """Tell whether the data lies in files that the user has to name."""
    data = answers.get("data", BUILTIN_DATA)
    return data in DATA_SETS and "root" in DATA_SETS[data].reads


def likely_root(answers: Answers) -> str | None:
    """Return the folder of CIFAR-10 where it lies here or near the checkpoint."""
    from losscape_mpi.problem.data.cifar10 import FOLDERS

    if answers["data"] != "cifar10":
        return None
    near = getattr(answers["checkpoint"], "path", Path())
    places = (Path(), Path("data"), near.parent, near.parent.parent)
    found = (place / name for place in places for name in FOLDERS)
    return next((os.path.normpath(path) for path in found if path.is_dir()), None)


def likely_samples(answers: Answers) -> str:
    """Return all samples of a small data set, some of one that lies in files."""
    return str(FEW_SAMPLES) if has_root(answers) else ALL


def likely_points(answers: Answers) -> str:
    """Return 51, the 2018 paper's; 25 for the built-in study, as it has."""
    return "51" if is_own_network(answers) else "25"


def likely_study(answers: Answers) -> str:
    """Return a name after the checkpoint or the network."""
    near = getattr(answers["checkpoint"], "path", None)
    name = near.stem if near else answers.get("model", "digits")
    return re.sub(r"[^\w.+-]+", "_", name.rpartition(":")[2]) + ".yaml"
