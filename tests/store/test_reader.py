import json

import h5py
import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.point.column import Column, columns_from_names
from losscape_mpi.store.layout import FORMAT, to_json
from losscape_mpi.store.reader import (
    read_activity,
    read_directions,
    read_surface,
    surface_sha256,
)
from losscape_mpi.store.writer import SurfaceWriter


def refusal(read, path):
    with pytest.raises(UserError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_surface_has_all_that_was_stored(create):
    surface = read_surface(create())
    assert surface.alpha.tolist() == [-1.0, 0.0, 0.7]
    assert surface.beta.tolist() == [-0.5, 0.25]
    assert list(surface.values) == ["train/loss", "train/loss_stderr", "train/nonfinite"]
    assert surface.provenance == {"name": "small"}
    assert (surface.splits, surface.metrics, surface.is_line) == (["train"], ["loss"], False)


def test_splits_and_metrics_come_in_the_order_of_the_columns(create):
    columns = ["train/loss", "train/loss_stderr", "train/nonfinite"]
    columns += [name.replace("train", "test") for name in columns]
    surface = read_surface(create(columns=columns_from_names(columns)))
    assert list(surface.values) == columns
    assert surface.splits == ["train", "test"]


OWN = [
    Column("train", "lambda_max", description="largest eigenvalue"),
    Column("train", "rest", "residual", "train/lambda_max", low=0.0),
    Column("train", "share", low=0.0, high=1.0, comparison="absolute"),
    Column("test", "norm:a.b", "part", "train/lambda_max"),
]


def test_columns_come_back_as_they_were_made(create):
    surface = read_surface(create(columns=OWN))
    assert list(surface.columns.values()) == OWN
    assert surface.metrics == ["lambda_max", "share"]
    assert [column.name for column in surface.results("test")] == []


def as_format_1(path):
    """Make a file what format 1 was: names of columns only, nothing said at the values."""
    with h5py.File(path, "r+") as file:
        del file["checksums"]
        names = [Column.from_json(each).name for each in json.loads(file["columns"][()])]
        manifest = json.loads(file["manifest"][()]) | {"format": 1}
        for name, text in (
            ("columns", json.dumps(names).encode()),
            ("manifest", to_json(manifest)),
        ):
            del file[name]
            file.create_dataset(name, data=np.bytes_(text), track_times=False)
        for name in names:
            del file[name].attrs["long_name"]
    return path


def test_a_file_of_format_1_says_by_names_what_its_columns_are(create, store):
    path = as_format_1(create())
    with SurfaceWriter(path) as writer:
        store(writer, [0, 5], [[1.0, 0.5, 0], [2.0, 0.25, 0]])
    surface = read_surface(path)
    assert surface.manifest["format"] == 1
    assert list(surface.columns.values()) == columns_from_names(list(surface.values))
    assert surface.error("train/loss").ravel()[[0, 5]].tolist() == [0.5, 0.25]
    assert surface.counts()["done"] == 2
    with SurfaceWriter(path) as writer:
        assert writer.pending.tolist() == [1, 2, 3, 4]


def test_a_training_path_is_a_line_along_its_own_axis(create, store):
    study = {"path": {"axis": "auto"}}
    manifest = {"format": FORMAT, "study": study, "path": {"axis": "epoch", "labels": ["a", "b"]}}
    path = create(manifest=to_json(manifest), axes={"epoch": np.array([3.0, 8.0])}, directions={})
    with SurfaceWriter(path) as writer:
        assert writer.shape == (2,)
        store(writer, [1], [[1.0, 0.5, 0]])
    surface = read_surface(path)
    assert (surface.is_path, surface.is_line, surface.axis_names) == (True, True, ("epoch",))
    assert surface.alpha.tolist() == [3.0, 8.0]
    np.testing.assert_array_equal(surface.values["train/loss"], [[np.nan], [1.0]])
    assert surface.status.tolist() == [[0], [1]]
    assert len(surface_sha256(path)) == 64


def test_a_profile_is_known_by_its_grid(create):
    manifest = to_json({"format": FORMAT, "study": {"grid": {"beta": None}}})
    axes = {"alpha": np.arange(4.0), "beta": np.zeros(1)}
    surface = read_surface(create(manifest=manifest, axes=axes))
    assert surface.is_line
    assert surface.values["train/loss"].shape == (4, 1)


def test_counts_tell_the_states_apart(create, store):
    path = create()
    with SurfaceWriter(path) as writer:
        rows = [[1.0, 0, 0], [np.inf, np.nan, 2], [3.0, 0, 0]]
        store(writer, [0, 1, 2], rows, [1, 2, 3])
    counts = read_surface(path).counts()
    assert counts == {"total": 6, "done": 2, "nonfinite": 1, "failed": 1, "pending": 3}


def test_an_unconfirmed_point_is_pending_and_shows_no_value(create, store):
    path = create()
    with SurfaceWriter(path) as writer:
        store(writer, [0, 1, 2], [[1.0, 0, 0], [2.0, 0, 0], [7.0, 0, 0]], [1, 1, 3])
    with h5py.File(path, "r+") as file:
        file["train/loss"][0, 1] = 2.5
        file["train/loss"][2, 1] = 9.0  # values that a killed run left without a status
    surface = read_surface(path)
    assert surface.status.tolist() == [[1, 0], [3, 0], [0, 0]]
    np.testing.assert_array_equal(
        surface.values["train/loss"], [[1.0, np.nan], [np.nan, np.nan], [np.nan, np.nan]]
    )


def test_directions_are_read_by_axis_and_name(create):
    directions = read_directions(create())
    assert list(directions) == ["alpha", "beta"]
    np.testing.assert_array_equal(
        directions["alpha"]["conv.weight"], np.arange(6.0).reshape(1, 2, 3)
    )


def test_a_file_without_directions_has_none(create):
    path = create(directions={})
    assert read_directions(path) == {}
    assert len(surface_sha256(path)) == 64


def test_nobody_has_worked_on_a_new_file(create):
    activity = read_activity(create())
    assert (activity.progress["runs"], len(activity.workers)) == (0, 0)


def test_a_missing_file_is_named(tmp_path):
    assert "no such surface file" in refusal(read_surface, tmp_path / "missing.h5")


@pytest.mark.parametrize("content", [b"", b"alpha,beta,loss\n0,0,1\n"])
def test_a_file_that_is_no_hdf5_is_refused(tmp_path, content):
    path = tmp_path / "s.h5"
    path.write_bytes(content)
    assert "not a readable HDF5 file" in refusal(read_surface, path)


def test_a_folder_is_refused(tmp_path):
    refusal(read_surface, tmp_path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(create, share):
    path = create()
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refusal(read_surface, path)


def test_an_hdf5_file_of_another_program_is_refused(tmp_path):
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros(3)
    for read in (read_surface, surface_sha256):
        assert "no losscape_mpi surface" in refusal(read, path)


@pytest.mark.parametrize("number", [0, 3, None, "1", "2"])
def test_another_format_version_is_refused(create, number):
    path = create(manifest=to_json({"format": number}))
    for read in (read_surface, surface_sha256):
        message = refusal(read, path)
        assert f"format version {number}, this program reads 1 and 2" in message


@pytest.mark.parametrize("text", [b"{", b"[1]", b"nonsense"])
def test_a_manifest_that_is_no_mapping_is_refused(create, text):
    assert "damaged" in refusal(read_surface, create(manifest=text))


@pytest.mark.parametrize(
    "name",
    ["status", "crc", "worker", "columns", "provenance", "axes/alpha", "axes", "train/loss"],
)
def test_a_missing_dataset_is_refused(create, name):
    path = create()
    with h5py.File(path, "r+") as file:
        del file[name]
    assert "damaged" in refusal(read_surface, path)


@pytest.mark.parametrize("name", ["manifest", "provenance", "columns", "status"])
def test_a_group_in_a_datasets_place_is_refused(create, name):
    path = create()
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_group(name)
    assert "damaged" in refusal(read_surface, path)


@pytest.mark.parametrize("name", ["train/loss", "status", "axes/beta"])
def test_arrays_that_do_not_fit_together_are_refused(create, name):
    path = create()
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = np.zeros(7)
    assert "damaged" in refusal(read_surface, path)
