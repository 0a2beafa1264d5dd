"""What every group of settings has in common."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic takes true for 1: `samples: true` would be one sample.
        field = cls.model_fields[info.field_name or ""]
        parts = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(part, bool) for part in parts) and _holds_numbers(field.annotation):
            raise ValueError(f"found {str(value).lower()}, expected a number")
        return value


def path_keys(model: type[BaseModel]) -> Iterator[str]:
    """Yield the keys of a section that hold a path, a list of paths or none, in file order."""
    for key, field in model.model_fields.items():
        if _holds_paths(field.annotation):
            yield key


def _holds_paths(annotation: Any) -> bool:
    return annotation is Path or any(_holds_paths(part) for part in get_args(annotation))


def _holds_numbers(annotation: Any) -> bool:
    """Return whether numbers are allowed, and neither true nor false."""
    parts = set(_parts(annotation))
    return bool(parts & {int, float}) and not parts & {bool, Any}


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield all types of an annotation; bool where a literal true or false is among them."""
    if isinstance(annotation, bool):
        yield bool
    elif (isinstance(annotation, type) and annotation in (int, float, bool)) or annotation is Any:
        yield annotation
    for part in get_args(annotation):
        yield from _parts(part)
