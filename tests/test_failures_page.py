"""docs/failures.md quotes messages that the program has, docs/promises.md tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PLACEHOLDER = re.compile(r"%(?:\.\d+)?[sdgf]")


def rows(page):
    """The cells of each table row of a page, without headings."""
    lines = (REPOSITORY / "docs" / page).read_text(encoding="utf-8").splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line[:2] == "| "]
    return [row for row in cells if row[0] not in ("message", "what happens", "input")]


def text_of(node):
    """The text of a string in the source, with an ellipsis for each value that is put into it."""
    if isinstance(node, ast.JoinedStr):
        parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
        return "".join(str(part) for part in parts)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return PLACEHOLDER.sub("…", node.value)
    return ""


@cache
def texts_of_the_package():
    files = (REPOSITORY / "losscape_mpi").rglob("*.py")
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    return {text_of(node) for tree in trees for node in ast.walk(tree)}


MESSAGES = [row[0].strip("`") for row in rows("failures.md") if row[0].startswith("`")]


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_are_quoted_as_they_are(message):
    assert any(message in text for text in texts_of_the_package())


@pytest.mark.parametrize("row", rows("promises.md"), ids=lambda row: row[0])
def test_promises_name_a_test_that_exists(row):
    if row[2] == "the same":
        return
    (file,) = re.findall(r"\]\(\.\./(tests/[^)]+)\)", row[2])
    names = re.findall(r"`(test_\w+)`", row[2])
    source = (REPOSITORY / file).read_text(encoding="utf-8")
    assert names
    assert [name for name in names if f"def {name}(" not in source] == []
