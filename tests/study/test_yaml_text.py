import math

import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.study.yaml_text import dump_yaml, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.0e-3", 0.001),
        ("-1E+2", -100.0),
        (".5", 0.5),
        ("2.", 2.0),
        ("-.inf", -math.inf),
        ("7", 7),
        ("-7", -7),
        ("010", 10),
        ("0o10", 8),
        ("0x10", 16),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("no", "no"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("'1e-3'", "1e-3"),
        ("package.module:name", "package.module:name"),
        ("e3", "e3"),
        (".", "."),
    ],
)
def test_scalars_are_read_by_the_rules_of_yaml_1_2(text, value):
    found = parse_yaml(text, "text")
    assert found == value
    assert type(found) is type(value)


def test_merge_keys_and_anchors_work():
    text = "base: &base {a: 1, b: 2}\nmore: {<<: *base, b: 3}\n"
    assert parse_yaml(text, "text")["more"] == {"a": 1, "b": 3}


def test_what_is_dumped_is_read_back():
    tricky = ["1e-3", "no", "010", "0o7", "1:30", "", "~", "null", "true", "2024-01-01", ".5", "<<"]
    value = {
        "texts": tricky,
        "multi\nline": "a\nb: 'c' \"d\" # e",
        "numbers": [0, -1, 0.1, 1e-300, 1e22, 5e-324, -0.0, math.inf],
        "long": " ".join(["word"] * 60),
        "nested": {"a": {}, "b": [], "c": [[1, 2], {"d": None}], "é": True},
    }
    assert parse_yaml(dump_yaml(value), "text") == value


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: found the key 'a' twice"),
        ("a: {b: 1, b: 1}", "found the key 'b' twice"),
        ("a: [1, 2", "line 1"),
        ("a:\n\t- 1\n", "line 2"),
        ("a: 1\n---\nb: 2\n", "single document"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: *b", "undefined alias"),
        (b"\xff\xfe\xff", "expected valid YAML"),
        ("9" * 5000, "expected valid YAML"),
        ("[" * 1500, "expected valid YAML"),
    ],
)
def test_what_is_not_yaml_is_refused_in_one_line(text, part):
    with pytest.raises(UserError) as caught:
        parse_yaml(text, "study.yaml")
    message = str(caught.value)
    assert message.startswith("study.yaml: ")
    assert part in message
    assert "\n" not in message
