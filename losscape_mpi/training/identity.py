"""What makes two trainings the same: everything that changes a bit of the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from losscape_mpi.errors import MismatchError
from losscape_mpi.study.identity import differences
from losscape_mpi.training.config import TrainConfig

# Places of files, and how often the state is saved, change no bit.
_NO_NUMBER: Any = {
    "output": True,
    "save_s": True,
    "path": {"folder": True},
    "problem": {"checkpoint": True, "data": {"root": True}},
}
# Left out at their defaults: a key that a release adds does not make older files foreign.
_LATER = (
    "optimizer",
    "betas",
    "rho",
    "augment",
    "label_noise",
    "device",
    "threads",
    "path",
    "init_seed",
)


def recipe_identity(config: TrainConfig) -> dict[str, Any]:
    """Return all of a recipe that changes a bit of its checkpoints, as plain JSON values."""
    recipe = config.model_dump(mode="json", exclude=_NO_NUMBER)
    for key in _LATER:
        if getattr(config, key) == TrainConfig.model_fields[key].default:
            del recipe[key]
    if config.optimizer == "adam":
        del recipe["momentum"], recipe["nesterov"]  # it has none
    return json.loads(json.dumps(recipe))


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
