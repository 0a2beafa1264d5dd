"""What makes two trainings the same: everything that changes a bit of the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from losscape_mpi.errors import MismatchError
from losscape_mpi.study.identity import (
    FIRST_EDITION,
    FirstEdition,
    differences,
    settings_identity,
)
from losscape_mpi.training.config import TrainConfig

# Keys that came later are left out at their defaults, see `study.identity.FIRST_EDITION`.
FIRST_RECIPE: FirstEdition = {
    "": (
        "problem",
        "epochs",
        "batch_size",
        "lr",
        "momentum",
        "nesterov",
        "weight_decay",
        "schedule",
        "seed",
    ),
    "problem": FIRST_EDITION["problem"],
    "problem.data": FIRST_EDITION["problem.data"],
    "schedule": ("milestones", "factor"),
    "augment": ("crop", "flip"),
    "label_noise": ("fraction", "seed"),
    "path": ("every", "unit"),
}
_NO_NUMBER = ("save_s",)  # how often the state is saved changes no bit


def recipe_identity(config: TrainConfig) -> dict[str, Any]:
    """Return all of a recipe that changes a bit of its checkpoints, as plain JSON values."""
    recipe = settings_identity(config, FIRST_RECIPE, _NO_NUMBER)
    if config.optimizer == "adam":
        del recipe["momentum"], recipe["nesterov"]  # it has none
    return recipe


def refuse_other_training(
    path: Path, found: dict[str, str], config: TrainConfig, hashes: dict[str, Any]
) -> None:
    """Compare what a file's header says of its training with a recipe.

    Args:
        path: The file, for the message.
        found: Its header: texts by name, recipe and start among them.
        config: The recipe that wants to use the file.
        hashes: Of the problem as it is before the training.

    Raises:
        MismatchError: If the file is of another training or of none; it names what differs.
    """
    remedy = "choose another output, or pass --fresh to keep the old files under a backup name"
    if not {"recipe", "start"} <= found.keys():
        raise MismatchError(f"{path} was not written by this command: {remedy}")
    old = json.loads(found["recipe"]) | {"start": json.loads(found["start"])}
    lines = differences(old, recipe_identity(config) | {"start": hashes})
    if lines:
        raise MismatchError(f"{path} is of another training ({'; '.join(lines)}): {remedy}")
