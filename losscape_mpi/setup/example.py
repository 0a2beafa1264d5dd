"""The examples that come with the package: studies, recipes, job files, batch templates."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from itertools import dropwhile, takewhile
from pathlib import Path

from losscape_mpi.errors import UserError
from losscape_mpi.resource import resource_folder

FOLDERS = ("configs", "jobs", "slurm")


def list_examples(columns: int | None = None) -> str:
    """Return the examples as lines: the file, and the first sentence of its comment.

    Args:
        columns: Of the terminal; longer lines are cut. None leaves them whole.
    """
    rows = [(name, _title(path)) for name, path in _examples()]
    width = max(len(name) for name, _ in rows)
    lines = (f"{name:<{width}}  {title}".rstrip() for name, title in rows)
    return "\n".join(
        line if columns is None or len(line) <= columns else f"{line[: columns - 1]}…"
        for line in lines
    )


def copy_examples(target: Path) -> list[Path]:
    """Copy all examples into a folder, as configs, jobs and slurm; returns these folders.

    Raises:
        UserError: If one of them is there already, or cannot be written.
    """
    places = [target / name for name in FOLDERS]
    if taken := [place for place in places if os.path.lexists(place)]:
        raise UserError(f"{taken[0]} is there already and stays as it is: choose another folder")
    try:
        for name, place in zip(FOLDERS, places, strict=True):
            shutil.copytree(resource_folder(name), place, ignore=shutil.ignore_patterns(".*"))
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror or error})") from error
    return places


def _examples() -> Iterator[tuple[str, Path]]:
    for folder in FOLDERS:
        root = resource_folder(folder)
        for path in sorted(root.rglob("*")):
            if path.suffix in (".yaml", ".sh", ".sbatch"):
                yield f"{folder}/{path.relative_to(root)}", path


def _title(path: Path) -> str:
    """Return the first sentence of a file's comment."""
    lines = path.read_text(encoding="utf-8").splitlines()
    after = dropwhile(lambda line: not line.startswith("# "), lines)
    comment = takewhile(lambda line: line.startswith("# "), after)
    text = " ".join(line[2:] for line in comment)
    return re.split(r"[.:](?: |$)", text, maxsplit=1)[0]
