"""The table of figure kinds: a row is all that a new kind needs."""

import pytest
from matplotlib.figure import Figure

from losscape_mpi.errors import UserError
from losscape_mpi.figures import kinds
from losscape_mpi.figures.kinds import Kind, kind_names, place_of
from losscape_mpi.figures.layout import load_layout
from losscape_mpi.render import main, make_parser
from losscape_mpi.store.tables import write_npz


@pytest.fixture
def add_row():
    """Adds a row to the table for one test."""

    before = list(kinds.KINDS)
    yield lambda *words, **settings: kinds.KINDS.append(Kind(*words, **settings))
    kinds.KINDS[:] = before


@pytest.fixture
def drawn(bowl, tmp_path, capsys):
    """Renders a plane and returns the names of the figures."""

    def render(*options):
        write_npz(bowl(), tmp_path / "s.npz")
        assert main([str(tmp_path / "s.npz"), "--dpi", "40", *options]) == 0
        return [line.rsplit("/", 1)[1] for line in capsys.readouterr().out.splitlines()]

    return render


def test_a_figure_of_ones_own_is_drawn_after_one_row(add_row, drawn):
    asked = []

    def figure(drawing):
        asked.append((drawing.metrics, drawing.splits))
        return Figure()

    add_row("stamp", "a stamp", "plane", figure=figure, when="named")
    assert drawn("--kind", "stamp,filled") == ["s_filled.png", "s_stamp.png"]
    assert asked == [(["loss"], ["train"])]
    assert "stamp (a stamp)" in " ".join(make_parser().format_help().split())


@pytest.mark.slow
def test_a_tile_of_ones_own_stands_in_figures_panels_and_layouts(add_row, drawn, tmp_path):
    def dots(axes, field, scale):
        axes.plot(field.alpha, field.values[:, 0], "k.")

    add_row("dots", "first row", "plane", dots)
    assert drawn()[-1] == "s_dots.png"
    assert "s_panel_dots.png" in drawn("--panel", "--kind", "all")
    (tmp_path / "p.yaml").write_text("kind: dots\nrows: [[s.npz, s.npz]]")
    assert load_layout(tmp_path / "p.yaml").kind == ("dots",)
    assert main(["--layout", str(tmp_path / "p.yaml"), "--dpi", "40"]) == 0


def test_a_layout_takes_kinds_that_stand_side_by_side_and_planes(drawn, training_path, tmp_path):
    drawn()
    write_npz(training_path(), tmp_path / "run.npz")
    (tmp_path / "p.yaml").write_text("rows: [[s.npz]]")
    with pytest.raises(UserError, match="found --kind profile with --layout, expected one of con"):
        main(["--layout", str(tmp_path / "p.yaml"), "--kind", "profile"])
    (tmp_path / "p.yaml").write_text("rows: [[run.npz]]")
    with pytest.raises(UserError, match=r"run\.npz is a training path; a layout takes"):
        main(["--layout", str(tmp_path / "p.yaml")])


def test_without_its_row_a_kind_is_unknown(drawn):
    assert "stamp" not in kind_names()
    with pytest.raises(UserError, match="expected contour, filled, surface"):
        drawn("--kind", "stamp")


@pytest.mark.slow
def test_when_a_row_says_what_is_drawn_unasked(drawn):
    assert drawn() == ["s_contour.png", "s_filled.png", "s_surface.png"]
    assert drawn("--kind", "all") == [
        f"s_{k}.png" for k in ("contour", "filled", "surface", "heatmap")
    ]


def test_each_surface_has_a_place_with_a_kind(bowl, own_columns, training_path):
    places = [place_of(s) for s in (bowl(), own_columns(is_line=True), training_path())]
    assert places == ["plane", "line", "path"]
    assert {kind.place for kind in kinds.KINDS if kind.when == "default"} == set(places)
