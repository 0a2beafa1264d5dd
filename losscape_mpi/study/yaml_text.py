"""YAML text to values and back, by the rules of YAML 1.2 instead of PyYAML's 1.1.

Under 1.1 the text 1e-3 is a string, `no` is false, 010 is 8 and 1:30 is 90; here 1e-3 and 010
are numbers, and the other two stay text. A key that stands twice in one mapping is refused.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from losscape_mpi.errors import UserError

# YAML 1.2, section 10.3.2 (core schema), and the merge key that 1.1 files use
_SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (as PyYAML declares it)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                problem = f"found the key {key.value!r} twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add((key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key))
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would not read back as text."""


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


for _name, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _first
        )
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def parse_yaml(text: str | bytes, source: str) -> Any:
    """Return the value that a YAML text holds.

    Args:
        text: One YAML document; only plain values, no Python objects.
        source: Where the text comes from, for the message.

    Raises:
        UserError: If the text is not YAML or repeats a key.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{source}: {_one_line(error)}; expected valid YAML") from error


def dump_yaml(value: Any) -> str:
    """Return YAML text that `parse_yaml` reads back to an equal value, keys in the given order."""
    return yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=None,
        allow_unicode=True,
        width=96,
    )


def _one_line(error: Exception) -> str:
    """Return PyYAML's several lines as one: the place, then the problem."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if str(problem).startswith("but "):
        problem = f"{getattr(error, 'context', '')} {problem}"
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return place + " ".join(str(problem).split())
