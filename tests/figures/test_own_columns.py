"""A user's own columns, whose names tell nothing: everything is asked of the columns."""

import csv

import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.figures.column import column_words, drawable
from losscape_mpi.figures.field import make_field
from losscape_mpi.figures.kinds import KINDS
from losscape_mpi.figures.line.profile import profile_figure
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.panel import map_figure
from losscape_mpi.figures.mesh.write import write_mesh
from losscape_mpi.figures.page.data import describe_page
from losscape_mpi.figures.page.pack import Packer
from losscape_mpi.render import main
from losscape_mpi.store.surface import Trajectory
from losscape_mpi.store.tables import read_npz, write_csv, write_npz
from losscape_mpi.terminal.status_rows import value_rows
from losscape_mpi.terminal.trajectory_table import print_trajectory

PART = "entropy:layer1.conv"


@pytest.fixture
def saved(own_columns, tmp_path):
    """Writes the surface as a file that `render` reads."""

    def save(is_line=False):
        write_npz(own_columns(is_line), tmp_path / "own.npz")
        return tmp_path / "own.npz"

    return save


def names_after(capsys, *words):
    assert main([str(word) for word in [*words, "--dpi", "40"]]) == 0
    return [line.rsplit("/", 1)[1] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["plane", "line"])
def test_every_kind_draws_them(saved, capsys, place):
    kinds = [k.name for k in KINDS if k.place == place and k.name != "trajectory"]
    names = names_after(capsys, saved(place == "line"), "--kind", ",".join(kinds))
    assert sorted(names) == sorted(f"own_{kind}.png" for kind in kinds)


@pytest.mark.slow
def test_the_paths_of_a_file_are_drawn_over_them(own_columns, saved, tmp_path, capsys):
    surface, ends = own_columns(), np.array([0.5, 0.0])
    values = {"train/entropy": ends, "train/spread": ends / 9}
    surface.trajectories["sgd"] = Trajectory(["a", "b"], ends, ends, ends, values, values, {})
    write_npz(surface, tmp_path / "own.npz")
    names = names_after(capsys, tmp_path / "own.npz")
    assert names[-1] == "own_trajectory.png"


def test_only_results_are_drawn_unasked(own_columns, saved, capsys):
    assert drawable(own_columns()) == ["train/entropy"]
    assert names_after(capsys, saved(True)) == ["own_profile.png"]


def test_a_part_is_drawn_by_its_name_and_its_file_has_a_name_for_any_system(saved, capsys):
    names = names_after(capsys, saved(), "--metric", f"{PART},spread,flips", "--kind", "filled")
    assert names == [
        f"own_{name}_filled.png" for name in ("entropy_layer1.conv", "spread", "flips")
    ]


def test_a_column_that_is_not_there_names_the_results_alone(saved):
    with pytest.raises(UserError, match=r"expected one of train/entropy$"):
        main([str(saved()), "--metric", "loss"])


def test_the_error_is_the_one_that_belongs_to_the_column(own_columns, words):
    plane, line = own_columns(), own_columns(is_line=True)
    assert make_field(plane, "train/entropy").stderr is plane.values["train/spread"]
    assert make_field(plane, "train/flips").stderr is None
    assert make_field(plane, f"train/{PART}").stderr is None
    band = profile_figure(line, ["entropy"], ["train"], Look()).axes[0].collections[0]
    corners = band.get_paths()[0].vertices
    at_end = corners[np.isclose(corners[:, 0], 1), 1]
    assert (at_end.min(), at_end.max()) == pytest.approx((0.5 - 0.21, 0.5 + 0.21))
    text = words(map_figure([plane], "filled", "train/entropy", Look()))
    assert "training entropy: + center -0.5 ± 0.19 (2 SE)" in " ".join(text.split())


def test_values_of_both_signs_get_a_linear_scale_and_a_symmetric_log_on_demand(own_columns):
    figure = map_figure([own_columns()], "filled", "train/entropy", Look())
    assert figure.axes[1].get_ylabel() == "training entropy"
    figure = map_figure([own_columns()], "filled", "train/entropy", Look("log"))
    assert "symmetric log scale" in figure.axes[1].get_ylabel()
    left = profile_figure(own_columns(is_line=True), ["entropy"], ["train"], Look()).axes[0]
    assert left.get_yscale() == "linear"


def test_words_are_those_of_the_role(own_columns):
    surface = own_columns()
    names = ["train/entropy", "train/spread", "train/flips", f"train/{PART}"]
    assert [column_words(surface, name) for name in names] == [
        "training entropy",
        "standard error of the training entropy",
        "training flips",
        "training entropy:layer1.conv",
    ]


def test_status_tells_the_range_of_results_alone(own_columns):
    assert value_rows(own_columns()) == [("train entropy", "-3.5 to 0.5")]


def test_tables_hold_all_columns_and_what_they_are(own_columns, tmp_path):
    surface = own_columns()
    write_csv(surface, tmp_path / "s.csv")
    lines = [line for line in (tmp_path / "s.csv").read_text().splitlines() if line[0] != "#"]
    rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["alpha", "beta", "status", *surface.columns]
    write_npz(surface, tmp_path / "s.npz")
    back = read_npz(tmp_path / "s.npz")
    assert back.columns == surface.columns
    assert back.error("train/entropy").tobytes() == surface.values["train/spread"].tobytes()


def test_an_npz_file_without_columns_is_told_by_its_names(bowl, tmp_path):
    surface = bowl(more={"train/loss_stderr": np.ones((9, 9))})
    write_npz(surface, tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as file:
        arrays = {name: file[name] for name in file.files if name != "columns"}
    np.savez(tmp_path / "old.npz", **arrays)
    assert read_npz(tmp_path / "old.npz").columns == surface.columns


def test_the_table_of_a_path_shows_them(own_columns, capsys):
    surface, ends = own_columns(), np.array([-1.5, 0.0])
    values = {"train/entropy": ends, "train/spread": ends}
    path = Trajectory(["a", "b"], ends, ends, np.abs(ends), values, values, {})
    print_trajectory("sgd", path, surface.path, surface.columns)
    text = capsys.readouterr().out
    assert "entropy" in text
    assert "spread" not in text


def test_a_page_lists_results_alone_with_their_errors(own_columns):
    surface = own_columns()
    packer = Packer()
    page = describe_page([surface], ["mine"], packer)
    (column,) = page["columns"]
    assert (column["name"], column["label"]) == ("train/entropy", "training entropy")
    assert (column["kind"], column["metric"]) == ("linear", "entropy")
    (values,) = page["files"][0]["columns"].values()
    place = values["stderr"]
    packed = np.frombuffer(packer.content(), "<f8", place["size"], place["at"])
    assert packed.tolist() == surface.values["train/spread"].ravel().tolist()


def test_a_mesh_has_their_heights(own_columns, tmp_path):
    write_mesh(own_columns(), "train/entropy", tmp_path / "own.obj", aspect=0.5)
    assert (tmp_path / "own.obj").read_text().count("\nv ") == 35
