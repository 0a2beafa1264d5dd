"""From the answers to a commented study file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from losscape_mpi.errors import UserError
from losscape_mpi.files import created
from losscape_mpi.setup.answer import BUILTIN, NONE
from losscape_mpi.setup.default import BUILTIN_DATA, BUILTIN_MODEL
from losscape_mpi.study.comments import comment_settings
from losscape_mpi.study.config import Study
from losscape_mpi.study.load import BUILTIN_FOLDER, absolute_paths, validate
from losscape_mpi.study.plane_config import PlaneConfig

SHOWN_OF_PLANE = ("kind", "normalize", "ignore", "seed")


def compose_study(answers: Mapping[str, Any]) -> str:
    """Return the study of answers as commented YAML: the keys that a user changes first.

    Args:
        answers: As `dialogue.collect` gives them.

    Raises:
        UserError: If the answers make no valid study.
    """
    study = answers["study"]
    raw = _settings(answers, study.parent)
    validate(Study, absolute_paths(raw, study.parent), study)
    head = (
        f"# Compute it, or the missing points of it; mpirun -n 4 in front takes more workers:\n"
        f"#   losscape-mpi surface {study}\n"
        f"# Every other key with its meaning:\n"
        f"#   losscape-mpi surface {study} --print-study --comments\n\n"
    )
    return head + comment_settings(raw, Study)


def write_study(path: Path, text: str) -> None:
    """Write a new study file, whole or not at all.

    Raises:
        UserError: If the name is taken, or the file cannot be written.
    """
    with created(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _settings(answers: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    points, plane = answers["points"], PlaneConfig().model_dump(mode="json")
    return {
        "name": answers["study"].stem,
        "problem": {
            "model": answers.get("model", BUILTIN_MODEL),
            "checkpoint": _checkpoint(answers["checkpoint"], folder),
            **({"checkpoint_key": answers["key"]} if "key" in answers else {}),
            "data": {
                "name": answers.get("data", BUILTIN_DATA),
                "root": _from(folder, answers.get("root")),
                "splits": answers["splits"],
                "samples": answers["samples"],
            },
            "loss": "cross_entropy",
        },
        "plane": {key: plane[key] for key in SHOWN_OF_PLANE},
        "grid": {"alpha": [-1, 1, points], "beta": [-1, 1, points]},
        "metrics": ["loss", "accuracy"],
        "output": str(answers["output"]),
    }


def _checkpoint(checkpoint: Any, folder: Path) -> str | None:
    if checkpoint == NONE:
        return None
    if checkpoint == BUILTIN:
        return str(BUILTIN_FOLDER / "digits.safetensors")
    return _from(folder, checkpoint.path)


def _from(folder: Path, path: Path | None) -> str | None:
    """Return a path as the study names it: from its own folder where it lies below, else whole."""
    if path is None:
        return None
    whole = Path(os.path.abspath(path))
    base = Path(os.path.abspath(folder))
    text = str(whole.relative_to(base) if whole.is_relative_to(base) else whole)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"found the name {text!r}, expected one in UTF-8: rename it") from None
    return text
