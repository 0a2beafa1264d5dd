"""The options of render for figures in print, on the command line and in a layout."""

import re
import xml.etree.ElementTree as ElementTree

import matplotlib.image
import numpy as np
import pytest
from PIL import Image
from test_render import make_file, svg_words

from losscape_mpi.errors import UserError
from losscape_mpi.render import main

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def file(tmp_path):
    return make_file(tmp_path / "s.h5", (9, 7))


@pytest.fixture
def render(capsys):
    """Runs the command on a file; returns the names of what was written."""

    def run(*arguments):
        words = [str(argument) for argument in arguments]
        assert main([*words, *(() if "--dpi" in words else ("--dpi", "60"))]) == 0
        return [line.rsplit("/", 1)[1] for line in capsys.readouterr().out.splitlines()]

    return run


def test_preset_gives_a_pdf_of_its_width_and_the_caption_as_text(file, render):
    assert render(file, "--kind", "filled", "--paper", "column") == [
        "s_filled.pdf",
        "s_filled_caption.txt",
    ]
    data = file.with_name("s_filled.pdf").read_bytes()
    (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) [\d.]+ \]", data)
    assert float(box) == pytest.approx(3.3 * 72)
    text = file.with_name("s_filled_caption.txt").read_text("utf-8")
    assert text.startswith("Training loss, filled contours: a study · mlp")
    assert "minimum 0.5, maximum 3.5" in text


def test_fonts_of_a_pdf_are_embedded_outlines_that_an_editor_can_change(file, render):
    render(file, "--kind", "contour,surface", "--paper", "column")
    for kind in ("contour", "surface"):
        data = file.with_name(f"s_{kind}.pdf").read_bytes()
        assert data.count(b"/FontFile2") >= 1
        assert b"/Type3" not in data


@pytest.mark.parametrize(("preset", "width"), [("column", 3.3), ("page", 6.9), ("slide", 10)])
def test_picture_is_exactly_as_wide_as_the_preset(file, render, preset, width):
    render(file, "--kind", "heatmap", "--paper", preset, "--format", "png", "--dpi", "100")
    assert matplotlib.image.imread(file.with_name("s_heatmap.png")).shape[1] == width * 100


def test_preset_has_a_resolution_that_an_option_replaces(file, render):
    render(file, "--kind", "heatmap", "--paper", "column", "--format", "png", "--dpi", "50")
    small = file.with_name("s_heatmap.png")
    assert matplotlib.image.imread(small).shape[1] == 165
    assert main([str(file), "--kind", "heatmap", "--paper", "column", "--format", "png"]) == 0
    assert matplotlib.image.imread(small).shape[1] == 3.3 * 600


def test_style_file_goes_before_the_preset(file, render):
    style = file.with_name("style.yaml")
    style.write_text("font.size: 9\nxtick.labelsize: 9\n")
    options = ["--kind", "heatmap", "--paper", "column", "--format", "svg", "--style", style]
    render(file, *options)
    svg = file.with_name("s_heatmap.svg").read_text()
    assert "9px" in svg
    assert 'width="237.6pt"' in svg


def test_caption_stands_in_the_metadata_of_each_format(file, render):
    render(file, "--kind", "filled", "--paper", "column", "--format", "svg,png,pdf")
    text = file.with_name("s_filled_caption.txt").read_text("utf-8")
    root = ElementTree.parse(file.with_name("s_filled.svg")).getroot()
    assert root.find(f"{SVG}title").text == "a study · mlp · spirals · filter-normalised"
    assert root.find(f"{SVG}desc").text == " ".join(text.splitlines())
    assert Image.open(file.with_name("s_filled.png")).text["Description"] == text.rstrip("\n")
    assert b"/Subject" in file.with_name("s_filled.pdf").read_bytes()


def test_usual_figure_has_its_caption_drawn_and_as_alternative_text(file, render):
    assert render(file, "--kind", "filled", "--format", "svg") == ["s_filled.svg"]
    root = ElementTree.parse(file.with_name("s_filled.svg")).getroot()
    assert "minimum 0.5, maximum 3.5" in root.find(f"{SVG}desc").text
    assert "minimum 0.5, maximum 3.5" in " ".join(svg_words(file.with_name("s_filled.svg")))


@pytest.mark.parametrize("more", [[], ["--paper", "column"]])
def test_no_caption_draws_none_and_writes_none(file, render, more):
    names = render(file, "--kind", "filled", "--no-caption", "--format", "svg", *more)
    assert names == ["s_filled.svg"]
    assert "minimum" not in " ".join(svg_words(file.with_name("s_filled.svg")))


def test_no_title_leaves_the_small_print(file, render):
    render(file, "--kind", "filled", "--no-title", "--format", "svg")
    words = " ".join(svg_words(file.with_name("s_filled.svg"))).replace("\u00a0", " ")
    assert "spirals" not in words
    assert "minimum 0.5" in words


def test_title_that_is_asked_for_is_drawn_in_a_preset_alone(file, render):
    options = ["--kind", "filled", "--paper", "column", "--title", "My own", "--format", "svg"]
    render(file, *options)
    words = " ".join(svg_words(file.with_name("s_filled.svg"))).replace("\u00a0", " ")
    assert "My own" in words
    assert "spirals" not in words


@pytest.mark.parametrize("kind", ["filled", "contour", "heatmap"])
def test_no_colorbar_leaves_one_plot(file, render, kind):
    def svg(*more):
        render(file, "--kind", kind, "--format", "svg", *more)
        return file.with_name(f"s_{kind}.svg").read_text()

    bare, usual = svg("--no-colorbar", "--no-caption"), svg("--no-caption")
    assert "training loss" in usual
    assert "training loss" not in bare.split("</metadata>")[1]


def test_surface_without_a_colorbar_names_its_height(file, render):
    render(file, "--kind", "surface", "--no-colorbar", "--no-caption", "--format", "svg")
    assert "training loss" in svg_words(file.with_name("s_surface.svg"))


def test_label_names_the_values_of_maps_and_curves(file, render, tmp_path):
    render(
        file, "--kind", "filled", "--label", "cross-entropy", "--scale", "log", "--format", "svg"
    )
    words = svg_words(file.with_name("s_filled_log.svg"))
    assert "cross-entropy (log scale)" in words
    line = make_file(tmp_path / "line.h5", (9, 1), is_line=True)
    render(line, "--label", "cross-entropy", "--format", "svg")
    words = svg_words(tmp_path / "line_profile.svg")
    assert {"cross-entropy", "accuracy"} <= words


def test_colours_are_those_of_the_option_also_before_a_style(file, render):
    style = file.with_name("style.yaml")
    style.write_text("image.cmap: viridis\n")
    render(file, "--kind", "heatmap", "--cmap", "gray", "--style", style, "--no-caption")
    picture = matplotlib.image.imread(file.with_name("s_heatmap.png"))[..., :3]
    assert np.ptp(picture, axis=-1).max() < 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cmap", "virids"], "found 'virids', .* did you mean viridis?"),
        (["--paper", "colum"], "paper.*colum"),
        (["--title", "T", "--no-title"], "found --title and --no-title"),
        (["--paper", "page", "--movie", "orbit"], "found --paper with --movie"),
    ],
)
def test_wrong_option_is_one_line(file, options, message):
    with pytest.raises(UserError, match=message) as caught:
        main([str(file), *options])
    assert "\n" not in str(caught.value)


def test_size_without_room_for_its_words_puts_them_into_a_file_and_says_so(file, render, caplog):
    with caplog.at_level("INFO"):
        names = render(file, "--kind", "filled", "--size", "3.3x2.2")
    assert names == ["s_filled.png", "s_filled_caption.txt"]
    assert "too small for title and small print" in caplog.text
    assert matplotlib.image.imread(file.with_name("s_filled.png")).shape[:2] == (132, 198)


def test_layout_may_say_preset_colours_and_label(file, render):
    layout = file.with_name("panel.yaml")
    layout.write_text("paper: column\ncmap: gray\nlabel: cost\ntitle: Two\nrows: [[s.h5, s.h5]]\n")
    names = render("--layout", layout, "--format", "svg")
    assert names == ["panel_filled.svg", "panel_filled_caption.txt"]
    words = svg_words(file.with_name("panel_filled.svg"))
    assert "cost" in words
    assert "Two" not in words
    assert "Two" in file.with_name("panel_filled_caption.txt").read_text()
    assert render("--layout", layout, "--paper", "slide")[0] == "panel_filled.png"


@pytest.mark.parametrize(
    ("text", "message"),
    [("paper: colum", "paper: found colum"), ("cmap: virids", "did you mean viridis")],
)
def test_wrong_setting_of_a_layout_is_one_line(file, text, message):
    layout = file.with_name("panel.yaml")
    layout.write_text(f"{text}\nrows: [[s.h5]]\n")
    with pytest.raises(UserError, match=message):
        main(["--layout", str(layout)])
