"""What every group of settings has in common."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def path_keys(model: type[BaseModel]) -> Iterator[str]:
    """Yield the keys of a section that hold a path, a list of paths or none, in file order."""
    for key, field in model.model_fields.items():
        if _holds_paths(field.annotation):
            yield key


def _holds_paths(annotation: Any) -> bool:
    return annotation is Path or any(_holds_paths(part) for part in get_args(annotation))
