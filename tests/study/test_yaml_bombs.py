"""YAML that would take minutes, gigabytes or the stack is refused in one line, at once."""

import itertools
import time
import tracemalloc

import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.study.load import load_study, read_yaml
from losscape_mpi.study.yaml_text import MAX_BYTES, parse_yaml

LETTERS = "abcdefghij"


def nested(line):
    """Nine lines, each of which holds ten times the one before."""
    pairs = itertools.pairwise(LETTERS)
    return "".join(line(new, ",".join([f"*{old}"] * 10)) for old, new in pairs)


BOMBS = {
    "aliases": "a: &a [x, x]\n" + nested(lambda new, olds: f"{new}: &{new} [{olds}]\n"),
    "merged aliases": "a: &a {x: 1}\n"
    + nested(lambda new, olds: f"{new}: &{new} {{<<: [{olds}]}}\n"),
    "long text by aliases": f"a: &a {'x' * 50_000}\nb: [{'*a,' * 500}*a]\n",
    "list of many": f"[{'1,' * 100_000}1]",
    "list of itself": "a: &a [*a]",
    "mapping of itself": "a: &a {b: *a}",
    "levels of lists": "[" * 400 + "]" * 400,
    "levels of mappings": "{a: " * 400 + "}" * 400,
    "levels of blocks": "\n".join(" " * level + "a:" for level in range(400)),
    "comment": "#" + "x" * 2_000_000,
    "digits": f"a: 0x{'f' * 200_000}",
    "bytes": "a: !!binary abcd",
    "set": "a: !!set {b, c}",
    "time": "a: !!timestamp 2020-01-01",
    "NUL": 'a: "x\\0y"',
    "half a character": 'a: "\\ud800"',
    "key of half a character": '"\\udfff": 1',
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_costs_one_line_and_little_else(kind):
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        parse_yaml(BOMBS[kind], "study.yaml")
    seconds, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith("study.yaml: ")
    assert "found " in message
    assert message.isprintable()
    assert seconds < 8  # with tracemalloc, which makes it several times slower
    assert peak < 64 << 20


def test_a_large_file_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "study.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a sparse file
    with pytest.raises(UserError, match=f"more than {MAX_BYTES} bytes"):
        read_yaml(path)


def test_a_long_list_of_checkpoints_is_read():
    names = [f"runs/a_long_name_of_a_path/epoch_{k:04d}.safetensors" for k in range(2000)]
    assert parse_yaml("\n".join(f"- {name}" for name in names), "study.yaml") == names


def test_aliases_that_stay_small_are_read():
    text = "a: &a [1, 2]\nb: {c: *a, d: [*a, *a]}\n"
    assert parse_yaml(text, "x")["b"] == {"c": [1, 2], "d": [[1, 2], [1, 2]]}


@pytest.mark.parametrize(
    ("override", "part"),
    [
        (
            "grid={alpha: [-1, 1, 46000], beta: [-1, 1, 46000]}",
            "points, expected at most 100000000",
        ),
        ("farm.retries=255", "a number of at most 254"),
        ("farm.retries=99999999999", "a number of at most 254"),
        ('output="a\\0b.h5"', "NUL"),
        ('output="\\ud800.h5"', "half a character"),
        ('problem.checkpoint="a\\0b.pt"', "NUL"),
    ],
)
def test_numbers_and_names_that_no_run_can_take_are_refused(override, part):
    with pytest.raises(UserError, match=part) as caught:
        load_study(None, [override])
    assert str(caught.value).isprintable()


def test_study_file_of_an_impossible_name_is_refused(tmp_path):
    with pytest.raises(UserError):
        load_study(tmp_path / "a\0b.yaml")
