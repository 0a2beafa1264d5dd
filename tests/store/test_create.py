import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.files import check_writable
from losscape_mpi.point.column import columns_from_names
from losscape_mpi.store.create import back_up, create_surface

COLUMNS = ["train/loss", "train/loss_stderr", "train/nonfinite"]
FILL_THE_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from losscape_mpi.files import check_writable
from losscape_mpi.point.column import loss_column
from losscape_mpi.store.create import create_surface
from losscape_mpi.command import run_command

def main(argv):
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    axes = {"alpha": np.arange(50.0), "beta": np.arange(50.0)}
    create_surface(Path(sys.argv[1]), b"{}", b"{}", axes, [loss_column("train")], {})
    return 0

run_command(main)
"""


def every_dataset(file):
    names = []
    file.visit(names.append)
    return [file[name] for name in names if isinstance(file[name], h5py.Dataset)]


def test_creation_leaves_the_file_and_nothing_else(create, tmp_path):
    path = create()
    assert list(tmp_path.iterdir()) == [path]


def test_every_dataset_is_contiguous_allocated_and_without_a_timestamp(create):
    with h5py.File(create()) as file:
        datasets = every_dataset(file)
        texts, axes, values, points, runs, directions = 4, 2, 3, 5, 2, 2
        assert len(datasets) == texts + axes + values + points + runs + directions
        for data in datasets:
            assert data.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS, data.name
            assert data.id.get_offset() is not None, data.name
            assert h5py.h5g.get_objinfo(data.id).mtime == 0, data.name


def test_what_changes_during_a_run_is_allocated_early_and_filled(create):
    with h5py.File(create()) as file:
        for name in ("train/loss", "status", "crc", "seconds", "worker", "attempts", "progress"):
            plist = file[name].id.get_create_plist()
            assert plist.get_alloc_time() == h5py.h5d.ALLOC_TIME_EARLY, name
            assert plist.get_fill_time() == h5py.h5d.FILL_TIME_ALLOC, name


def test_new_points_are_pending_and_hold_nan(create):
    with h5py.File(create()) as file:
        assert np.isnan(file["train/loss"][()]).all()
        assert not file["status"][()].any()
        assert file["status"].shape == (3, 2)


def test_creating_twice_gives_the_same_bytes(create):
    assert create("first.h5").read_bytes() == create("second.h5").read_bytes()


def test_file_format_is_the_oldest_that_survives_a_kill(create):
    signature = create().read_bytes()[:9]
    assert signature == b"\x89HDF\r\n\x1a\n\x00"  # superblock version 0


def test_surfaces_carry_their_axes_as_dimension_scales(create):
    with h5py.File(create()) as file:
        for name in ("train/loss", "train/nonfinite", "status", "seconds"):
            first, second = file[name].dims
            assert (first.label, second.label) == ("alpha", "beta")
            assert first[0][()].tolist() == [-1.0, 0.0, 0.7]
            assert second["beta"][()].tolist() == [-0.5, 0.25]


def test_texts_are_stored_as_given(create):
    path = create(manifest=b'{"format": 1}', provenance=b'{"name": "x"}')
    with h5py.File(path) as file:
        assert file["manifest"][()] == b'{"format": 1}'
        assert file["provenance"][()] == b'{"name": "x"}'
        told = json.loads(file["columns"][()])
        assert told == [column.to_json() for column in columns_from_names(COLUMNS)]
        for column in columns_from_names(COLUMNS):
            assert file[column.name].attrs["long_name"].decode() == column.description


def test_a_training_path_has_one_axis_of_its_own_name(create):
    coordinates = np.array([0.0, 10.0, 25.0])
    with h5py.File(create(axes={"step": coordinates}, directions={})) as file:
        assert file["train/loss"].shape == file["status"].shape == (3,)
        (dimension,) = file["train/loss"].dims
        assert (dimension.label, dimension[0][()].tolist()) == ("step", coordinates.tolist())
        assert "directions" not in file


def test_directions_keep_shape_type_and_bytes_even_without_axes(create):
    scale, empty = np.array(2.5, dtype="f4"), np.zeros((0, 3), dtype="f4")
    skew = np.arange(6, dtype="f8").reshape(2, 3).T  # not contiguous
    path = create(directions={"alpha": {"scale": scale, "empty": empty, "a.b.skew": skew}})
    with h5py.File(path) as file:
        group = file["directions/alpha"]
        assert (group["scale"].shape, group["scale"][()]) == ((), 2.5)
        assert group["empty"].shape == (0, 3)
        np.testing.assert_array_equal(group["a.b.skew"][()], skew)
        assert group["a.b.skew"].dtype == np.dtype("f8")


def test_full_disk_is_one_line_and_no_file(tmp_path):
    path = tmp_path / "s.h5"
    command = [sys.executable, "-c", FILL_THE_DISK, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        f"losscape_mpi: {path} cannot be created (File too large); choose another "
        "output or free space"
    ]
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "runs" / "s.h5"
    with pytest.raises(UserError, match="cannot be created"):
        create_surface(path, b"{}", b"{}", {"alpha": np.zeros(1), "beta": np.zeros(1)}, [], {})


def test_file_that_another_run_made_meanwhile_is_not_replaced(create, tmp_path):
    path = create()
    before = path.read_bytes()
    with pytest.raises(UserError, match="created by another run"):
        create(manifest=b'{"format": 1, "study": "another"}')
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_check_writable_makes_the_folder_and_leaves_no_file(tmp_path):
    check_writable(tmp_path / "new" / "deep" / "s.h5")
    assert list((tmp_path / "new" / "deep").iterdir()) == []


def test_check_writable_leaves_an_existing_file_as_it_is(create):
    path = create()
    before = path.read_bytes()
    check_writable(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["folder", "file/s.h5", "."])
def test_check_writable_refuses_what_cannot_become_a_file(tmp_path, monkeypatch, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name if name != "." else type(tmp_path)(".")
    with pytest.raises(UserError, match="cannot be written"):
        check_writable(path)


def test_back_ups_are_numbered_and_keep_their_content(tmp_path):
    path = tmp_path / "surface.v2.h5"
    for content in ("a", "b", "c"):
        path.write_text(content)
        back_up(path)
    assert not path.exists()
    found = {p.name: p.read_text() for p in tmp_path.iterdir()}
    assert found == {"surface.v2.1.h5": "a", "surface.v2.2.h5": "b", "surface.v2.3.h5": "c"}
