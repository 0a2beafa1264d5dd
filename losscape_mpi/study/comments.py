"""A study as YAML that explains itself: each key under a comment with its meaning."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from losscape_mpi.study.config import Study
from losscape_mpi.study.explain import section_model
from losscape_mpi.study.yaml_text import dump_entry

WIDTH = 88  # columns of a line of a comment


def comment_study(study: Study) -> str:
    """Return a study with every default, as `dump_study`, each key under its meaning."""
    return comment_settings(study.model_dump(mode="json"), Study)


def comment_settings(values: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Return settings as YAML, each key under the description that its field has.

    Args:
        values: Of the keys that are written; they come in the order of the model.
        model: What knows the keys.
    """
    lines: list[str] = []
    for line in _lines(values, model, ""):
        if line or (lines and lines[-1]):  # one empty line between sections
            lines.append(line)
    return "\n".join(lines).rstrip("\n") + "\n"


def _lines(values: Mapping[str, Any], model: type[BaseModel], indent: str) -> Iterator[str]:
    schema = model.model_json_schema()["properties"]
    for key, field in model.model_fields.items():
        if key not in values:
            continue
        section, value = section_model(model, key), values[key]
        if section and isinstance(value, Mapping):
            yield ""
            yield from _comment((section.__doc__ or "").split("\n", maxsplit=1)[0], indent)
            yield f"{indent}{key}:"
            yield from _lines(value, section, f"{indent}  ")
            yield ""
            continue
        yield from _comment((field.description or "") + _choices(schema[key]), indent)
        yield textwrap.indent(dump_entry(key, value), indent).rstrip("\n")


def _comment(text: str, indent: str) -> list[str]:
    begin = f"{indent}# "
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=begin,
        subsequent_indent=begin,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _choices(field: Mapping[str, Any]) -> str:
    """Return the words that a field can hold, where its description does not name them all."""
    kinds = field.get("anyOf", [field])
    values = [value for kind in kinds for value in (*kind.get("enum", []), kind.get("const"))]
    words = [dump_entry("", value).split()[-1] for value in values if value is not None]
    is_told = all(word in field.get("description", "") for word in words)
    return "" if is_told else f" ({' | '.join(words)})"
