"""The table of direction kinds against the settings of an axis and the page about directions."""

import re

import pytest
from pydantic import ValidationError

from losscape_mpi.study.kinds import KINDS, DirectionKind, in_words, readers
from losscape_mpi.study.plane_config import AxisConfig


def test_every_setting_of_an_axis_is_read_by_a_kind_and_every_kind_reads_settings_there_are():
    settings = AxisConfig.model_fields.keys() - {"kind"}
    assert set().union(*(kind.reads for kind in KINDS.values())) == settings
    for kind in KINDS.values():
        assert kind.needs in (None, *kind.reads)


def test_the_page_about_directions_has_every_kind_in_its_table(repository):
    page = (repository / "docs" / "directions.md").read_text(encoding="utf-8")
    _, table = page.split("| `plane.kind` |")
    rows, _ = table.split("\n\n", 1)
    assert re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE) == list(KINDS)


def test_a_row_makes_a_kind_known_and_says_what_it_needs_and_reads(monkeypatch):
    with pytest.raises(ValidationError, match='found "sead", expected'):
        AxisConfig(kind="sead")
    row = DirectionKind("", "", reads=("seed", "targets"), needs="targets")
    monkeypatch.setitem(KINDS, "sead", row)
    assert AxisConfig(kind="sead", targets=["a.pt"], seed=3).kind == "sead"
    assert readers("targets") == ("target", "sead")
    with pytest.raises(ValidationError, match="expected targets with kind: sead"):
        AxisConfig(kind="sead")
    unread = 'found which: "extremes", which kind: sead does not use, expected it with eigenvectors'
    with pytest.raises(ValidationError, match=unread):
        AxisConfig(kind="sead", targets=["a.pt"], which="extremes")


def test_the_reference_of_the_study_file_lists_what_the_table_has(monkeypatch):
    monkeypatch.setitem(KINDS, "sead", DirectionKind("", "", reads=()))
    assert AxisConfig.model_json_schema()["properties"]["kind"]["enum"] == list(KINDS)


@pytest.mark.parametrize(
    ("names", "words"), [(["a"], "a"), (["a", "b"], "a and b"), ("abc", "a, b and c")]
)
def test_names_are_listed_as_in_a_sentence(names, words):
    assert in_words(names) == words
