"""The reference of the study file: `python -m losscape_mpi.study.reference > docs/study.md`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from losscape_mpi.study.config import Study
from losscape_mpi.study.explain import section_model
from losscape_mpi.study.load import BUILTIN_FOLDER, DEFAULT_STUDY, dump_study, read_yaml, validate

_HEAD = """\
# The study file

One YAML file says what is asked: a network, its data, a plane through its trained parameters and
a grid on that plane. `configs/` holds files to copy. A key that is not listed here is refused with
the nearest one that is; a key with a default can be left out.

This page is made by `python -m losscape_mpi.study.reference > docs/study.md`.
"""

_RULES = """\
## Overrides

`--set KEY=VALUE` replaces one value, as often as needed. KEY is a dotted name of the tables above,
VALUE is YAML, the last of two for the same key counts:

```
python -m losscape_mpi.surface configs/digits.yaml \\
    --set 'grid.alpha=[-1, 1, 5]' --set grid.beta=null --set 'metrics=[loss]'
```

`--print-study` shows the whole study that results and computes nothing.

## Paths

* `problem.checkpoint`, `problem.data.root` and `path`, `targets`, `checkpoints` of a plane or one
  of its axes are relative to the folder of the study file; in `--set` they are relative to the
  current folder. `~` is your home folder.
* `output` is relative to the current folder, wherever the study file lies.
* Without a file, or with the bare word `digits`, the built-in study is taken.

## Trust

A study is code: `model`, `data.name`, `loss` and `metrics` of the form `package.module:callable`
are imported and called. See [own-problem.md](own-problem.md#a-study-is-code) before you run a
stranger's; `--no-code` refuses such a file.

## What makes a surface file the same

A surface file is continued only by a study that asks for the same numbers: the same `problem`,
`plane`, `grid`, `metrics` and `evaluation`, with the same content of checkpoint, data and direction
file. `name`, `farm`, `output` and the places of files may change.

## YAML

The rules of YAML 1.2 hold: `1e-3` is a number, `no` and `off` are text, `010` is ten. A key that
stands twice is refused, and so is a file of more than 256 KiB, 10,000 values (those of an alias
counted wherever it stands) or 40 levels.
"""

_TYPE_NAMES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "null": "`null`",
    "object": "mapping",
}


def reference() -> str:
    """Return the reference of the study file as Markdown, the content of docs/study.md."""
    parts = [_HEAD]
    for name, model in _sections(Study, ""):
        parts.append(f"## {name or 'Top level'}\n\n{model.__doc__}\n\n{_table(model, name)}")
    return "\n".join([*parts, _example(), _RULES])


def _sections(model: type[BaseModel], name: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield name, model
    for key in model.model_fields:
        section = section_model(model, key)
        if section and not _repeats(model, key):
            yield from _sections(section, f"{name}.{key}".lstrip("."))


def _repeats(model: type[BaseModel], key: str) -> bool:
    """Tell whether the keys of a section are keys of the section that it lies in."""
    section = section_model(model, key)
    return section is not None and issubclass(model, section)


def _table(model: type[BaseModel], name: str) -> str:
    schema = model.model_json_schema()
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, field in schema["properties"].items():
        dotted = f"{name}.{key}".lstrip(".")
        if section_model(model, key):
            default = "required" if key in schema.get("required", ()) else "its defaults"
            kind = f"section, {_range(model, key)}" if _repeats(model, key) else "section"
            default = "`null`" if field.get("default", 0) is None else default
        else:
            kind = _type_name(field)
            default = f"`{json.dumps(field['default'])}`" if "default" in field else "required"
        meaning = re.sub(r"docs/([\w-]+\.md)", r"[\1](\1)", field["description"])
        lines.append(f"| `{dotted}` | {kind} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _range(model: type[BaseModel], key: str) -> str:
    """Return which keys of this table a section that repeats them has."""
    names = list(getattr(section_model(model, key), "model_fields", ()))
    return f"its keys: `{names[0]}` to `{names[-1]}` of this table"


def _type_name(field: dict[str, Any]) -> str:
    """Return the type that a JSON schema states, in words."""
    if "anyOf" in field:
        return " or ".join(_type_name(choice) for choice in field["anyOf"])
    if "const" in field or "enum" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if "prefixItems" in field:
        return f"[{', '.join(_type_name(item) for item in field['prefixItems'])}]"
    if field["type"] == "array":
        return f"list of {_type_name(field['items'])}"
    if field.get("format") == "path":
        return "path"
    above = field.get("exclusiveMinimum", field.get("minimum", 1) - 1)
    limit = f" ≥ {above + 1}" if {"exclusiveMinimum", "minimum"} & field.keys() else ""
    return _TYPE_NAMES[field["type"]] + limit


def _example() -> str:
    source = BUILTIN_FOLDER / f"{DEFAULT_STUDY}.yaml"
    study = validate(Study, read_yaml(source), source)
    head = "## Example\n\nThe built-in study with every default written out:\n"
    return f"{head}\n```yaml\n{dump_study(study)}```\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
