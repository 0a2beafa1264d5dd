import numpy as np
import pytest

from losscape_mpi.figures import caption
from losscape_mpi.figures.column import column_words
from losscape_mpi.figures.field import make_field
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.blocks import with_blocks
from losscape_mpi.figures.map.panel import map_figure
from losscape_mpi.figures.page.text import describe
from losscape_mpi.point.status import FAILED, NONFINITE, PENDING


def test_title_comes_from_the_file(bowl, words):
    text = words(map_figure([bowl()], "contour", "train/loss", Look()))
    for part in ("first look", "resnet56", "cifar10 (1000 of 5085 train samples)"):
        assert part in text
    assert "filter-normalised" in text


def test_small_print_names_what_the_numbers_depend_on(bowl, words):
    text = words(map_figure([bowl()], "filled", "train/loss", Look()))
    for part in ("float32", "BatchNorm frozen", "direction seed 3", "fingerprint 01234567"):
        assert part in text
    assert "+ center 0.1 · minimum 0.1, maximum 3.1 · 81 of 81 points" in text
    assert "average curvature" in text


def test_axes_state_the_length_of_a_step(bowl):
    axes = map_figure([bowl()], "contour", "train/loss", Look()).axes[0]
    assert axes.get_xlabel() == "α (filter-normalised, ‖d‖ = 31.2)"
    assert axes.get_ylabel() == "β (filter-normalised, ‖d‖ = 40.5)"


def test_file_that_records_nothing_is_drawn_without_inventing_anything(bowl, words):
    surface = bowl(3, 5)
    surface.manifest.clear()
    problem = {"model": "unknown", "data": {"name": "unknown"}}
    grid = {"alpha": [-1, 1, 3], "beta": [-1, 1, 5]}
    surface.manifest.update(source="2018 tool", study={"problem": problem, "grid": grid})
    text = words(map_figure([surface], "filled", "train/loss", Look()))
    assert "first look · from a file of the 2018 tool" in " ".join(text.split())
    assert "not recorded" in text
    assert "unknown" not in text
    assert "curvature" not in text


def test_dollars_and_newlines_in_a_name_are_plain_text(bowl, words):
    surface = bowl()
    surface.provenance["name"] = "a $x_{ b\nc"
    assert "a $x_{ b c" in words(map_figure([surface], "filled", "train/loss", Look()))


def test_center_shows_two_standard_errors(bowl):
    surface = bowl(more={"train/loss_stderr": bowl().values["train/loss"] * 0.25})
    text = caption.range_text(make_field(surface, "train/loss"), "center")
    assert "center 0.1 ± 0.05 (2 SE)" in text


@pytest.mark.parametrize(
    ("status", "word"), [(PENDING, "not computed"), (FAILED, "failed"), (NONFINITE, "not finite")]
)
def test_why_the_center_has_no_value_is_said(bowl, status, word):
    surface = bowl()
    surface.values["train/loss"][4, 4] = np.nan
    surface.status[4, 4] = status
    for field in (
        make_field(surface, "train/loss"),
        with_blocks(make_field(surface, "train/loss")),
    ):
        assert f"center {word} ·" in caption.range_text(field, "center")
    spoken = describe(surface, "train/loss")
    assert ("no finite value at the center" in spoken) == (status == NONFINITE)
    assert ("the center is not computed" in spoken) == (status == PENDING)


def test_center_outside_the_grid_is_said(bowl):
    text = caption.range_text(make_field(bowl(4, 4), "train/loss"), "center")
    assert "center not on the grid" in text


@pytest.mark.parametrize(
    ("plane", "text"),
    [
        ({"kind": "random", "normalize": "none"}, "not normalised"),
        ({"kind": "file", "normalize": "filter"}, "directions from a file"),
    ],
)
def test_normalisation_is_the_files_own(bowl, plane, text):
    assert caption.normalization(bowl(plane=plane)) == text


def test_long_titles_break_between_their_parts(bowl):
    surface = bowl()
    surface.provenance["name"] = "a rather long name of a study that somebody chose"
    figure = map_figure([surface], "filled", "train/loss", Look())
    figure.canvas.draw()
    box = figure._suptitle.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    lines = [line.replace("\u00a0", " ") for line in figure._suptitle.get_text().splitlines()]
    assert "cifar10 (1000 of 5085 train samples)" in "|".join(lines)


def test_precision_comes_with_its_measured_error(bowl):
    surface = bowl()
    surface.manifest["choices"] = {
        "precision_error": {"max_relative": 0.00042, "probes": 16, "mode": "bfloat16"}
    }
    text = caption.settings_text(surface)
    assert text.startswith("bfloat16 (error ≤ 0.042 % at 16 probes) · BatchNorm")


@pytest.mark.parametrize("choices", [{}, {"precision_error": None}, {"precision_error": {}}])
def test_precision_without_a_measured_error_is_named_alone(bowl, choices):
    surface = bowl()
    surface.manifest["choices"] = choices
    assert caption.settings_text(surface).startswith("float32 · BatchNorm")


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("train/loss", "training loss"),
        ("test/accuracy", "test accuracy"),
        ("train/loss_stderr", "standard error of the training loss"),
        ("test/nonfinite", "test: samples with an output that is not finite"),
        ("train/entropy", "training entropy"),
        ("data/loss", "loss"),
        ("seconds", "seconds per point"),
    ],
)
def test_every_column_has_words(bowl, column, text):
    names = ("train/loss_stderr", "test/nonfinite", "test/accuracy", "train/entropy", "data/loss")
    surface = bowl(more=dict.fromkeys(names, np.ones((9, 9))))
    assert column_words(surface, column) == text


def test_test_error_is_that_of_the_center(bowl):
    surface = bowl()
    assert caption.test_error_text(surface) == ""
    surface = bowl(more={"test/accuracy": np.full((9, 9), 0.5)})
    surface.values["test/accuracy"][4, 4] = 0.932
    assert caption.test_error_text(surface) == "test error 6.8 %"
    surface.manifest["splits"]["test"] = {"samples": 500}
    assert caption.test_error_text(surface) == "test error 6.8 % (500 samples)"
    surface.values["test/accuracy"][4, 4] = float("nan")
    assert caption.test_error_text(surface) == ""
