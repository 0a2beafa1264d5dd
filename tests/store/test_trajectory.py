"""Training paths in a surface file: what goes in comes out, and nothing else changes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.store.attach import attach_trajectory, check_attachable
from losscape_mpi.store.reader import read_surface, surface_sha256
from losscape_mpi.store.surface import Trajectory
from losscape_mpi.store.writer import SurfaceWriter


def make_path(shift=0.0):
    """Four checkpoints, one of them diverged."""
    return Trajectory(
        ["epoch_0000", "epoch_0001", "größer", "epoch_0003"],
        np.array([1.0 + shift, 0.5, np.nan, 0.0]),
        np.array([-0.25, 0.125, np.nan, 0.0]),
        np.array([0.75, 0.5, np.nan, 0.0]),
        {"train/loss": np.array([2.0, 1.0, np.inf, -0.5]), "test/accuracy": np.arange(4.0) / 4},
        {"train/loss": np.array([1.0, 1.5, np.nan, -0.5]), "test/accuracy": np.ones(4)},
        {"explained": {"centered": 0.25, "uncentered": None}, "norms": [3.0, 1.0, None, 0.0]},
    )


def assert_equal(found, wanted):
    assert found.labels == wanted.labels
    assert found.record == wanted.record
    for key in ("alpha", "beta", "residual"):
        np.testing.assert_array_equal(getattr(found, key), getattr(wanted, key))
    for key in ("values", "plane_values"):
        got, want = getattr(found, key), getattr(wanted, key)
        assert set(got) == set(want)
        for column in want:
            np.testing.assert_array_equal(got[column], want[column])


def test_a_path_comes_back_as_it_went_in(create):
    path = create()
    assert read_surface(path).trajectories == {}
    attach_trajectory(path, "sgd", make_path(), fresh=False)
    found = read_surface(path).trajectories
    assert list(found) == ["sgd"]
    assert_equal(found["sgd"], make_path())


def test_several_paths_lie_on_one_plane(create):
    path = create()
    for number, name in enumerate(("sgd", "adam", "sam.2")):
        attach_trajectory(path, name, make_path(number), fresh=False)
    found = read_surface(path).trajectories
    assert [found[name].alpha[0] for name in ("sgd", "adam", "sam.2")] == [1, 2, 3]


def test_a_path_without_losses_is_stored(create):
    path, bare = create(), make_path()
    bare.values.clear()
    bare.plane_values.clear()
    attach_trajectory(path, "sgd", bare, fresh=False)
    assert_equal(read_surface(path).trajectories["sgd"], bare)


def test_the_surface_keeps_its_hash_and_goes_on_being_written(create, store):
    path = create()
    with SurfaceWriter(path) as writer:
        store(writer, [0, 3], [[1, 0, 0], [np.inf, 0, 0]])
    before = surface_sha256(path)
    attach_trajectory(path, "sgd", make_path(), fresh=False)
    assert surface_sha256(path) == before
    with SurfaceWriter(path) as writer:
        assert writer.pending.tolist() == [1, 2, 4, 5]
        store(writer, [1, 2, 4, 5], np.ones((4, 3)))
    surface = read_surface(path)
    assert surface.counts()["done"] == 6
    assert_equal(surface.trajectories["sgd"], make_path())


def test_a_name_is_replaced_with_fresh_alone(create):
    path = create()
    attach_trajectory(path, "sgd", make_path(), fresh=False)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"holds a trajectory sgd already.*--fresh"):
        attach_trajectory(path, "sgd", make_path(1.0), fresh=False)
    assert path.read_bytes() == before
    attach_trajectory(path, "sgd", make_path(1.0), fresh=True)
    assert_equal(read_surface(path).trajectories["sgd"], make_path(1.0))


@pytest.mark.parametrize("name", ["a/b", "", ".", "..", "a b", "ä"])
def test_a_name_that_is_no_plain_word_is_refused(create, name):
    with pytest.raises(UserError, match="for a trajectory, expected letters"):
        check_attachable(create(), name, fresh=False)


def test_a_file_that_a_run_holds_is_left_alone(create):
    path = create()
    before = path.read_bytes()
    code = (
        "import sys; from pathlib import Path\n"
        "from losscape_mpi.store.writer import SurfaceWriter\n"
        "writer = SurfaceWriter(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert run.stdout.readline() == b"held\n"
    for action in (
        check_attachable,
        lambda *given: attach_trajectory(*given[:2], make_path(), False),
    ):
        with pytest.raises(UserError, match="is locked: another run writes it"):
            action(path, "sgd", False)
    run.communicate()
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_trajectory import make_path
from losscape_mpi import files
from losscape_mpi.store import attach
def die(*given):
    os.kill(os.getpid(), signal.SIGKILL)
module, _, name = sys.argv[2].rpartition(".")
setattr(eval(module), name, die)
attach.attach_trajectory(Path(sys.argv[1]), "sgd", make_path(), False)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "is_there"),
    [
        ("attach.shutil.copymode", False),
        ("attach.write_trajectory", False),
        ("os.fsync", False),
        ("os.replace", False),
        ("files.sync_folder", True),
    ],
)
def test_a_kill_leaves_the_old_file_or_the_new_one(create, at, is_there):
    path = create()
    before, digest = path.read_bytes(), surface_sha256(path)
    command = [sys.executable, "-c", KILLED, str(path), at, str(Path(__file__).parent)]
    assert subprocess.run(command, check=False).returncode == -9
    assert surface_sha256(path) == digest
    assert bool(read_surface(path).trajectories) == is_there
    assert is_there or path.read_bytes() == before
    attach_trajectory(path, "sgd", make_path(), fresh=True)
    assert_equal(read_surface(path).trajectories["sgd"], make_path())


def test_a_full_disk_leaves_the_old_file(create, monkeypatch):
    path = create()
    before = path.read_bytes()

    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("losscape_mpi.files.os.fsync", full)
    with pytest.raises(UserError, match=r"cannot be written.*No space left"):
        attach_trajectory(path, "sgd", make_path(), fresh=False)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_the_new_file_has_the_old_ones_rights(create):
    path = create()
    path.chmod(0o640)
    attach_trajectory(path, "sgd", make_path(), fresh=False)
    assert path.stat().st_mode & 0o777 == 0o640


def test_the_file_explains_itself_without_the_package(create):
    path = create()
    attach_trajectory(path, "sgd", make_path(), fresh=False)
    with h5py.File(path, "r") as file:
        group = file["trajectories/sgd"]
        assert group["labels"].asstr()[()].tolist() == make_path().labels
        assert "training path" in group.attrs["description"]
        missing = [name for name in group if "description" not in group[name].attrs]
        assert missing == []
        assert group["values/train/loss"].shape == (4,)


def test_a_long_path_has_room(create):
    path, count = create(), 5000
    numbers = np.arange(float(count))
    long = Trajectory(
        [f"step_{k}" for k in range(count)],
        numbers,
        -numbers,
        numbers / count,
        {"train/loss": numbers},
        {"train/loss": numbers},
        {"norms": numbers.tolist()},
    )
    attach_trajectory(path, "sgd", long, fresh=False)
    assert_equal(read_surface(path).trajectories["sgd"], long)


def test_a_path_is_added_where_locks_do_not_work(create, monkeypatch):
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
    path = create()
    copy = path.with_name("copy.h5")
    shutil.copy(path, copy)
    attach_trajectory(path, "sgd", make_path(), fresh=False)
    assert list(read_surface(path).trajectories) == ["sgd"]
    assert sorted(os.listdir(path.parent)) == ["copy.h5", path.name]  # no lock file is left
