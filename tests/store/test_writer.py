import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.store import raw_file
from losscape_mpi.store import writer as writer_module
from losscape_mpi.store.layout import NUM_WORKER_ROWS
from losscape_mpi.store.raw_file import RawFile
from losscape_mpi.store.reader import read_activity, read_surface
from losscape_mpi.store.writer import SurfaceWriter

SECOND_RUN = """
import sys
from pathlib import Path
from losscape_mpi.errors import UserError
from losscape_mpi.store.reader import read_surface
from losscape_mpi.store.writer import SurfaceWriter
path = Path(sys.argv[1])
surface = read_surface(path)
print(surface.values["train/loss"][1, 1], surface.status[1, 1], surface.counts()["pending"])
try:
    SurfaceWriter(path)
except UserError as error:
    print(error)
"""


class Crash(Exception):
    pass


def test_a_new_file_is_all_pending(create):
    with SurfaceWriter(create()) as writer:
        assert writer.pending.tolist() == [0, 1, 2, 3, 4, 5]
        assert writer.shape == (3, 2)


def test_written_points_are_found_where_they_belong(create, store):
    path = create()
    with SurfaceWriter(path) as writer:
        store(writer, [5, 2], [[1.0, 0.1, 3.0], [2.0, 0.2, 4.0]])
    surface = read_surface(path)
    assert surface.values["train/loss"][2, 1] == 1.0
    assert surface.values["train/loss_stderr"][1, 0] == 0.2
    assert surface.values["train/nonfinite"][2, 1] == 3.0
    assert surface.status.tolist() == [[0, 0], [1, 0], [0, 1]]
    assert surface.seconds[1, 0] == 0.125
    assert surface.attempts.tolist() == [[0, 0], [1, 0], [0, 1]]
    with SurfaceWriter(path) as writer:
        assert writer.pending.tolist() == [0, 1, 3, 4]


def test_status_reaches_the_file_only_after_the_values(create, store, tmp_path, monkeypatch):
    path, put, snapshots = create(), RawFile.put, []

    def put_and_copy(self, *what):
        put(self, *what)
        snapshots.append((what[0], shutil.copy(path, tmp_path / f"copy{len(snapshots)}.h5")))

    with SurfaceWriter(path) as writer:
        monkeypatch.setattr(RawFile, "put", put_and_copy)
        store(writer, [3], [[1.5, 0.5, 0.0]])
        monkeypatch.undo()
    names = [name for name, _ in snapshots]
    with h5py.File(snapshots[names.index("status") - 1][1]) as file:
        assert file["train/loss"][1, 1] == 1.5
        assert file["crc"][1, 1] != 0
        assert file["status"][1, 1] == 0
    with h5py.File(snapshots[-1][1]) as file:
        assert file["status"][1, 1] == 1


def test_a_crash_between_values_and_status_leaves_the_point_pending(
    create, store, tmp_path, monkeypatch
):
    path = create()

    def crash(*_):
        raise Crash

    writer = SurfaceWriter(path)
    store(writer, [0], [[1.0, 0.0, 0.0]])
    monkeypatch.setattr(SurfaceWriter, "_put_status", crash)
    with pytest.raises(Crash):
        store(writer, [3], [[2.0, 0.0, 0.0]])
    monkeypatch.undo()
    left = shutil.copy(path, tmp_path / "left.h5")  # what a kill would leave
    writer.close()
    with SurfaceWriter(left) as resumed:
        assert resumed.pending.tolist() == [1, 2, 3, 4, 5]
    assert read_surface(left).values["train/loss"][0, 0] == 1.0


@pytest.mark.parametrize("name", ["train/loss", "train/loss_stderr", "train/nonfinite", "crc"])
def test_a_torn_point_is_pending_again_and_its_repair_is_kept(create, store, name):
    path = create()
    with SurfaceWriter(path) as writer:
        store(writer, [0, 3], [[1.0, 0.5, 0.0], [2.0, 0.5, 0.0]])
    with h5py.File(path, "r+") as file:
        file[name][1, 1] += 1
    with SurfaceWriter(path) as writer:
        assert writer.pending.tolist() == [1, 2, 3, 4, 5]
        assert writer.counts()["done"] == 1
        store(writer, [3], [[2.0, 0.5, 0.0]])
        assert writer.counts()["done"] == 2
    with SurfaceWriter(path) as writer:
        assert writer.pending.tolist() == [1, 2, 4, 5]


@pytest.mark.parametrize(
    ("value", "status"),
    [(np.nan, 2), (np.inf, 2), (-np.inf, 2), (0.0, 1), (-0.0, 1), (-3.5, 1), (5e-324, 1)],
)
def test_every_value_is_kept_bit_for_bit_and_not_computed_again(create, store, value, status):
    path = create()
    with SurfaceWriter(path) as writer:
        store(writer, [4], [[value, value, 1.0]], status)
    surface = read_surface(path)
    assert surface.values["train/loss"][2, 0].tobytes() == np.float64(value).tobytes()
    assert surface.status[2, 0] == status
    with SurfaceWriter(path) as writer:
        assert 4 not in writer.pending


def test_a_failed_point_is_pending_again(create, store):
    path = create()
    with SurfaceWriter(path) as writer:
        store(writer, [1], [[np.nan, np.nan, 0.0]], status=3)
        assert writer.counts() == {"done": 0, "nonfinite": 0, "failed": 1}
    with SurfaceWriter(path) as writer:
        assert 1 in writer.pending


def test_counts_include_the_points_that_are_not_finite(create, store):
    with SurfaceWriter(create()) as writer:
        store(writer, [0, 1, 2], [[1, 0, 0], [np.nan, 0, 1], [2, 0, 0]], [1, 2, 1])
        assert writer.counts() == {"done": 3, "nonfinite": 1, "failed": 0}


def test_another_process_may_read_but_not_write_while_a_run_does(create, store):
    path = create()
    with SurfaceWriter(path) as writer:
        store(writer, [3], [[1.25, 0.5, 0.0]])
        command = [sys.executable, "-c", SECOND_RUN, str(path)]
        other = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    values, refusal = other.stdout.splitlines()
    assert values == "1.25 1 5"
    assert "is locked: another run writes it" in refusal


def test_runs_and_workers_are_recorded(create, store, tmp_path):
    path = create()
    with SurfaceWriter(path) as writer:
        writer.start_run(1000.0, "node1", 41, "")
        assert [writer.add_worker("node1", "CPU a"), writer.add_worker("node2", "CPU b")] == [0, 1]
        store(writer, [0], [[1.0, 0.0, 0.0]])
        left = shutil.copy(path, tmp_path / "left.h5")  # HDF5 wants one way of locking in a process
        assert read_activity(left).progress["running"] == 1
    with SurfaceWriter(path) as writer:
        writer.start_run(2000.0, "node3", 42, "4711")
        assert writer.add_worker("node3", "GPU") == 2
    activity = read_activity(path)
    progress = activity.progress
    assert (progress["runs"], progress["started"], progress["done_before"]) == (2, 2000.0, 1)
    assert (progress["host"], progress["pid"], progress["job"]) == (b"node3", 42, b"4711")
    assert activity.workers["run"].tolist() == [1, 1, 2]
    assert activity.workers["device"].tolist() == [b"CPU a", b"CPU b", b"GPU"]
    assert progress["running"] == 0


def test_workers_beyond_the_table_share_its_last_row(create):
    path = create()
    with h5py.File(path, "r+") as file:
        record = file["progress"][()]
        record["workers"] = NUM_WORKER_ROWS - 1
        file["progress"][()] = record
    with SurfaceWriter(path) as writer:
        rows = [writer.add_worker("node", f"CPU {k}") for k in range(3)]
    assert rows == [NUM_WORKER_ROWS - 1] * 3
    assert len(read_activity(path).workers) == NUM_WORKER_ROWS


def test_fsync_comes_at_most_every_five_seconds_and_at_the_end(create, store, monkeypatch):
    synced, clock = [], [100.0]
    monkeypatch.setattr(writer_module.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(raw_file.os, "fsync", synced.append)
    with SurfaceWriter(create()) as writer:
        synced.clear()
        for k in range(4):
            store(writer, [k], [[1.0, 0.0, 0.0]])
        assert len(synced) == 0
        clock[0] += 5.0
        store(writer, [4], [[1.0, 0.0, 0.0]])
        assert len(synced) == 2  # after the values, and after the status
        store(writer, [5], [[1.0, 0.0, 0.0]])
        assert len(synced) == 2
    assert len(synced) == 3


def test_closing_twice_is_harmless(create):
    writer = SurfaceWriter(create())
    writer.close()
    writer.close()


def test_a_file_that_cannot_be_opened_is_a_user_error(tmp_path):
    (tmp_path / "text.h5").write_text("no HDF5")
    for name, why in (("text.h5", "not a readable HDF5 file"), ("missing.h5", "no such surface")):
        with pytest.raises(UserError, match=why):
            SurfaceWriter(tmp_path / name)
