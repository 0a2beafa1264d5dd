"""A training path as a surface: its curves, its page, its rows of status and its table."""

import csv
import json
import re

import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.mesh.sheet import make_sheet
from losscape_mpi.figures.page import text as page_text
from losscape_mpi.figures.page.write import page_html
from losscape_mpi.figures.path.curve import curve_figure
from losscape_mpi.point.status import DONE, FAILED, NONFINITE, PENDING
from losscape_mpi.render import main
from losscape_mpi.store.exchange.surface import write_2018_surface
from losscape_mpi.store.line import line_numbers
from losscape_mpi.store.tables import read_npz, write_csv, write_npz
from losscape_mpi.terminal.status_rows import line_rows, origin_rows

ALL = ["loss", "accuracy", "gradient_norm"]
BOTH = ["train", "test"]


def test_each_quantity_has_a_panel_and_each_split_a_curve(training_path):
    path = training_path()
    figure = curve_figure([path], ALL, BOTH, Look())
    labels = [axes.get_ylabel().split("\n")[0] for axes in figure.axes]
    assert labels == ["loss", "error (%)", "gradient norm"]
    assert [len(axes.lines) for axes in figure.axes] == [2, 2, 1]
    for curve, split in zip(figure.axes[0].lines, BOTH, strict=True):
        assert curve.get_ydata().tolist() == path.values[f"{split}/loss"][:, 0].tolist()
        assert curve.get_xdata().tolist() == path.alpha.tolist()
    error = 100 * (1 - path.values["test/accuracy"][:, 0])
    assert figure.axes[1].lines[1].get_ydata().tolist() == error.tolist()


def test_the_time_axis_has_its_name_and_markers_stand_at_checkpoints(training_path):
    for axis in ("epoch", "step", "checkpoint"):
        axes = curve_figure([training_path(axis=axis)], ["loss"], BOTH, Look()).axes[0]
        assert axes.get_xlabel() == axis
        assert [line.get_marker() for line in axes.lines] == ["o", "s"]


def test_a_band_is_two_standard_errors_wide(training_path):
    path = training_path()
    band = curve_figure([path], ["loss"], ["train"], Look()).axes[0].collections[0]
    corners = band.get_paths()[0].vertices
    here = corners[np.isclose(corners[:, 0], 4), 1]
    value, error = (path.values[name][4, 0] for name in ("train/loss", "train/loss_stderr"))
    assert (here.min(), here.max()) == pytest.approx((value - 2 * error, value + 2 * error))


def test_far_positive_values_are_logarithmic_and_values_of_both_signs_are_not(training_path):
    path = training_path()
    axes = curve_figure([path], ["gradient_norm"], ["train"], Look()).axes[0]
    assert axes.get_yscale() == "log"
    path.values["train/gradient_norm"][3] = -1
    axes = curve_figure([path], ["gradient_norm"], ["train"], Look()).axes[0]
    assert axes.get_yscale() == "linear"


def test_the_start_of_a_training_is_never_cut_off(training_path):
    path = training_path()
    path.values["train/gradient_norm"][:] = 1.0
    path.values["train/gradient_norm"][0] = 10.0
    axes = curve_figure([path], ["gradient_norm"], ["train"], Look()).axes[0]
    assert axes.get_ylim()[1] > 10


def test_a_hole_is_hatched_and_told(training_path, words):
    status = [DONE] * 6 + [FAILED, NONFINITE, PENDING]
    spoiled = {"train/loss": (slice(6, 9), [[np.nan], [np.inf], [np.nan]])}
    text = words(
        curve_figure([training_path(9, status=status, spoiled=spoiled)], ["loss"], BOTH, Look())
    )
    for reason in ("not computed (1)", "failed (1)", "not finite (1)", "6 of 9 checkpoints"):
        assert reason in text.replace("\n", " ")


def test_the_small_print_knows_no_plane(training_path, words):
    text = " ".join(words(curve_figure([training_path()], ALL, BOTH, Look())).split())
    assert "training loss: first 1.01 ± 0.22 (2 SE) · last" in text
    assert "at epoch 8, maximum 1.01 at epoch 0 · 9 of 9 checkpoints" in text
    assert "1000 of 5085 train, 200 of 1000 test samples" in text
    for word in ("center", "α", "normalised", "curvature", "seed"):
        assert word not in text


def test_several_paths_share_their_scales(training_path):
    high = training_path()
    high.values["train/loss"][0] = 50.0
    figure = curve_figure([training_path(), high], ["loss"], ["train"], Look())
    first, second = (axes.get_ylim() for axes in figure.axes)
    assert first == second
    assert first[1] >= 50


def test_render_draws_curves_of_a_path_and_refuses_maps(training_path, tmp_path, capsys):
    write_npz(training_path(), tmp_path / "run.npz")
    assert main([str(tmp_path / "run.npz"), "--dpi", "40"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "run_curve.png")]
    options = ["--metric", "gradient_norm:layer1.conv1", "--split", "train", "--dpi", "40"]
    assert main([str(tmp_path / "run.npz"), *options]) == 0
    name = "run_train_gradient_norm_layer1.conv1_curve.png"
    assert capsys.readouterr().out.split() == [str(tmp_path / name)]
    with pytest.raises(UserError, match="is a training path; found --kind contour, expected curve"):
        main([str(tmp_path / "run.npz"), "--kind", "contour"])


def test_a_page_shows_it_as_curves_without_words_of_a_plane(training_path):
    path = training_path()
    html = page_html([path])
    assert page_html([training_path()]) == html
    assert "Training path of resnet56" in html
    assert ">Curves <" in html
    assert '<label class="alpha">epoch ' in html
    script = re.search(r'<script[^>]* id="surfaces"[^>]*>(.*?)</script>', html, re.DOTALL)
    description = json.loads(script[1])
    (file,) = description["files"]
    assert (file["isLine"], file["center"], file["labels"]["alpha"]) == (True, None, "epoch")
    assert file["checkpoints"][:2] == ["e000", "e001"]
    assert [column["name"] for column in description["columns"]] == [c.name for c in path.results()]
    assert "9 checkpoints, epoch 0 to 8" in page_text.facts_html(path)
    text = page_text.describe(path, "test/loss")
    assert text.startswith("Test loss: first 1.515 ± 0.22 (2 SE), last")
    assert "maximum 1.515 at epoch = 0; 9 of 9 checkpoints have a finite value" in text


def test_status_has_a_row_for_the_path_and_none_for_a_plane(training_path):
    path = training_path(axis="step")
    path.provenance.update(versions={"losscape_mpi": "1", "torch": "2"}, created="now", host="here")
    rows = dict(origin_rows(path))
    assert rows["path"] == "9 checkpoints, step 0 to 800"
    assert "plane" not in rows
    assert line_rows(path) == []


def test_a_table_names_checkpoint_and_epoch(training_path, tmp_path):
    path = training_path()
    write_csv(path, tmp_path / "run.csv")
    lines = [line for line in (tmp_path / "run.csv").read_text().splitlines() if line[0] != "#"]
    rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["checkpoint", "epoch", "status", *path.columns]
    assert [row["checkpoint"] for row in rows] == [f"e{k:03}" for k in range(9)]
    assert [float(row["epoch"]) for row in rows] == path.alpha.tolist()
    write_npz(path, tmp_path / "run.npz")
    back = read_npz(tmp_path / "run.npz")
    assert (back.is_path, back.axis_names, back.columns) == (True, ("epoch",), path.columns)


def test_what_needs_a_plane_says_that_it_is_a_path(training_path, tmp_path):
    path = training_path()
    with pytest.raises(UserError, match="is a training path; expected a plane for a mesh"):
        make_sheet(path, "train/loss", "linear", None)
    with pytest.raises(UserError, match="is a training path"):
        line_numbers(path, "train/loss")
    with pytest.raises(UserError, match="is a training path"):
        write_2018_surface(path, tmp_path / "old.h5")
