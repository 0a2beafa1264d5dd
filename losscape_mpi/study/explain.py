"""What is wrong with a settings file, in one line that names the key and the remedy."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

_WIDTH = 48  # of a shown value: two of them and a dotted name fit one terminal line

_WRONG_KEY = ("extra_forbidden", "invalid_key")
# pydantic's error types in the words of a YAML file; others keep pydantic's own text
_WORDS = {
    "model_type": "a mapping of keys",
    "dict_type": "a mapping of keys",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than_equal": "a number of at most {le}",
    "string_type": "text (in quotes where YAML reads a number)",
    "string_too_short": "at least {min_length} character",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "too_short": "at least {min_length} item",
    "too_long": "at most {max_length} items",
    "path_type": "a path",
    "invalid_key": "a key that is text",
}


def shorten(value: Any, width: int = _WIDTH) -> str:
    """Return a value as one line of JSON, cut to `width` characters."""
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
        return value[:12]  # a SHA-256: its beginning tells two of them apart
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= width else text[: width - 3] + "..."


def section_model(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """Return the model of the section that a field holds, None where it holds a plain value."""
    for candidate in _annotations(model, key):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def takes_free_keys(model: type[BaseModel], key: str) -> bool:
    """Tell whether a field holds a mapping whose keys are the user's, such as model_args."""
    return any(get_origin(part) is dict for part in _annotations(model, key))


def dotted_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every key of a model and of its sections, as dotted names, in file order."""
    for key in model.model_fields:
        yield prefix + key
        section = section_model(model, key)
        if section:
            yield from dotted_keys(section, f"{prefix}{key}.")


def unknown_key(model: type[BaseModel], keys: list[str]) -> str:
    """Return the line about a key that its section does not have, with the nearest one that exists.

    Args:
        model: The model of the whole file.
        keys: The path to the unknown key; all but the last exist.
    """
    *parents, last = keys
    section: type[BaseModel] | None = model
    for parent in parents:
        section = section_model(section, parent) if section else None
    valid = list(section.model_fields) if section else []
    prefix = "".join(f"{parent}." for parent in parents)
    near = [prefix + name for name in difflib.get_close_matches(last, valid, n=1)]
    near = near or [name for name in dotted_keys(model) if name.split(".")[-1] == last]
    hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(valid)}"
    return f"{prefix}{last}: unknown key, {hint}"


def _annotations(model: type[BaseModel], key: str) -> tuple[Any, ...]:
    """Return the type of a field and the members of a union, nothing for a key it lacks."""
    if key not in model.model_fields:
        return ()
    annotation = model.model_fields[key].annotation
    return annotation, *get_args(annotation)


def explain(error: ValidationError, model: type[BaseModel], raw: Mapping[str, Any]) -> str:
    """Return pydantic's errors as one line: the first one, and how many more there are.

    Args:
        error: What validation raised.
        model: The model that the settings were validated against.
        raw: The settings, for the values that are shown.
    """
    by_field: dict[tuple[str | int, ...], list[Any]] = {}
    # A misspelt key is also a missing one: the misspelling is the cause, so it comes first.
    ordered = sorted(error.errors(), key=lambda item: item["type"] not in _WRONG_KEY)
    for item in ordered:
        by_field.setdefault(_field_path(item, raw), []).append(item)
    field, items = next(iter(by_field.items()))
    more = f" (and {len(by_field) - 1} more)" if len(by_field) > 1 else ""
    return _line(model, field, items) + more


def _field_path(item: Any, raw: Any) -> tuple[str | int, ...]:
    """Return the part of an error's location that stands in the file.

    pydantic also names the members of unions in it, and keys and items that are not there.
    """
    path: list[str | int] = []
    for part in item["loc"]:
        if (isinstance(raw, Mapping) and part in raw) or _has_item(raw, part):
            path.append(part)
            raw = raw[part]
    return (*path, item["loc"][-1]) if _is_missing_key(item) else tuple(path)


def _has_item(raw: Any, part: str | int) -> bool:
    return isinstance(raw, list) and isinstance(part, int) and part < len(raw)


def _is_missing_key(item: Any) -> bool:
    """Tell a missing key from a missing item of a list, which is a fault of the list."""
    return item["type"] == "missing" and isinstance(item["loc"][-1], str)


def _line(model: type[BaseModel], field: tuple[str | int, ...], items: list[Any]) -> str:
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in field)
    name, item = name.lstrip(".") or "the file", items[0]
    if item["type"] == "extra_forbidden":
        return unknown_key(model, [str(part) for part in field])
    if _is_missing_key(item):
        return f"{name}: missing, expected {_description(model, field)}"
    if item["type"] == "missing":
        return f"{name}: found {shorten(item['input'])}, expected {_description(model, field)}"
    if item["type"] == "value_error":
        return f"{name}: {item['ctx']['error']}"
    wanted = " or ".join(dict.fromkeys(_expected(one) for one in items))
    return f"{name}: found {shorten(item['input'])}, expected {wanted}"


def _description(model: type[BaseModel], field: tuple[str | int, ...]) -> str:
    section: type[BaseModel] = model
    for part in field[:-1]:
        section = section_model(section, str(part)) or section
    info = section.model_fields.get(str(field[-1]))
    return (info.description if info else None) or "a value"


def _expected(item: Any) -> str:
    """Return what one pydantic error wanted, in words of a YAML file."""
    words = _WORDS.get(item["type"])
    if words is None:
        return str(item["msg"]).removeprefix("Input should be ")
    return words.format(**item.get("ctx", {}))
