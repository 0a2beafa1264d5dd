import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.figures.layout import load_layout


@pytest.fixture
def layout(tmp_path):
    def write(text):
        (tmp_path / "panel.yaml").write_text(text)
        return load_layout(tmp_path / "panel.yaml")

    return write


def test_files_are_relative_to_the_layout_and_a_name_alone_is_a_tile(layout, tmp_path):
    rows = layout("rows:\n- [a.h5, {file: sub/b.h5, title: B, subtitle: '', split: test}]\n- [~]")
    (first, second), (empty,) = rows.rows
    assert (first.file, first.title, first.split) == (tmp_path / "a.h5", None, None)
    assert (second.file, second.title, second.subtitle) == (tmp_path / "sub/b.h5", "B", "")
    assert empty is None


def test_look_of_the_panel_is_read(layout):
    found = layout(
        "title: T\nkind: contour\nscale: log\nlimits: [0.1, 10]\nlevels: [1, 2]\nview: [30, -60]\n"
        "metric: accuracy\nsplit: test\nrows: [[a.h5]]"
    )
    assert (found.title, found.kind, found.scale) == ("T", ("contour",), "log")
    assert (found.limits, found.levels, found.view) == ((0.1, 10), (1, 2), (30, -60))
    assert layout("kind: [filled, surface]\nrows: [[a.h5]]").kind == ("filled", "surface")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows: []", "found rows without a file"),
        ("rows: [[~, ~]]", "found rows without a file"),
        ("rows: [[{fil: a.h5}]]", "fil"),
        ("rows: [[a.h5]]\nkinds: filled", "kinds"),
        ("rows: [[a.h5]]\nkind: profile", "kind"),
        ("rows: [[a.h5]]\nlimits: [2, 1]", r"found limits \[2\.0, 1\.0\]"),
        ("rows: a.h5", "rows"),
        ("title: T", "rows"),
    ],
)
def test_wrong_layout_is_one_line_that_names_the_key(layout, text, message):
    with pytest.raises(UserError, match=message) as caught:
        layout(text)
    assert "\n" not in str(caught.value)
