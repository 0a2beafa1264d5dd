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


MAX_BYTES = 256 << 10  # a path of 2,000 named checkpoints has less
MAX_NODES = 10_000  # values of a file, those of an alias counted each time it stands: half a second
MAX_CHARACTERS = 1 << 20  # of all values, counted so
MAX_DEPTH = 40  # Python's own recursion ends at a few hundred levels
MAX_DIGITS = 300  # the largest float64 has 309
_MAP = "tag:yaml.org,2002:map"
_FOREIGN_TAGS = ("binary", "timestamp", "set", "omap", "pairs")  # of YAML 1.1, of no use here


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (as PyYAML declares it)
    nodes = depth = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        self.nodes, self.depth = self.nodes + 1, self.depth + 1
        if self.nodes > MAX_NODES or self.depth > MAX_DEPTH:
            limit = f"{MAX_NODES} values" if self.nodes > MAX_NODES else f"{MAX_DEPTH} levels"
            raise yaml.constructor.ConstructorError(
                None, None, f"found more than {limit}", self.peek_event().start_mark
            )
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

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


class _Block(dict[str, Any]):
    """A mapping that is written with a line for each key, however short it is."""


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    if len(text) > MAX_DIGITS:
        raise ValueError(f"found a number of {len(text)} digits, at most {MAX_DIGITS} are read")
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


for _name, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _first
        )
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Dumper.add_representer(
    _Block, lambda dumper, value: dumper.represent_mapping(_MAP, value, flow_style=False)
)


def parse_yaml(text: str | bytes, source: str) -> Any:
    """Return the value that a YAML text holds.

    Args:
        text: One YAML document; only plain values, no Python objects.
        source: Where the text comes from, for the message.

    Raises:
        UserError: If the text is not YAML, repeats a key, or is larger than a study can be.
    """
    if len(text) > MAX_BYTES:
        raise UserError(f"{source}: found more than {MAX_BYTES} bytes, expected a short YAML file")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{source}: {_one_line(error)}; expected valid YAML") from error


def _check_size(root: yaml.Node) -> None:
    """Refuse a document that aliases make endless or huge, before it is expanded.

    Raises:
        ConstructorError: With the place.
    """
    sizes: dict[int, tuple[int, int] | None] = {}  # by node; None while its inside is looked at

    def size(node: yaml.Node) -> tuple[int, int]:
        found = sizes.get(id(node), (0, 0))
        if found is None:
            raise _fault(node, "found a value that holds itself")
        if id(node) in sizes:
            return found
        sizes[id(node)] = None
        _check_value(node)
        inner = [size(child) for child in _children(node)]
        text = len(node.value) if isinstance(node, yaml.ScalarNode) else 0
        total = 1 + sum(n for n, _ in inner), text + sum(c for _, c in inner)
        if total[0] > MAX_NODES or total[1] > MAX_CHARACTERS:
            raise _fault(node, f"found more than {MAX_NODES} values, or too long ones, by aliases")
        sizes[id(node)] = total
        return total

    size(root)


def _check_value(node: yaml.Node) -> None:
    """Refuse what is no plain value, and text that neither a file nor its name can hold."""
    tag = node.tag.removeprefix("tag:yaml.org,2002:")
    if tag in _FOREIGN_TAGS:
        raise _fault(node, f"found a value of the kind !!{tag}")
    if isinstance(node, yaml.ScalarNode) and re.search("[\0\ud800-\udfff]", node.value):
        raise _fault(node, "found text with a NUL or with half a character (a lone surrogate)")


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _fault(node: yaml.Node, problem: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


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


def dump_entry(key: str, value: Any) -> str:
    """Return one entry of a mapping as YAML text, on lines of its own."""
    return dump_yaml(_Block({key: value}))


def _one_line(error: Exception) -> str:
    """Return PyYAML's several lines as one: the place, then the problem."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if str(problem).startswith("but "):
        problem = f"{getattr(error, 'context', '')} {problem}"
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return place + " ".join(str(problem).split())
