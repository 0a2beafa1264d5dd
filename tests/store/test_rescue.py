"""A file that is deleted, moved or replaced while a run writes it, and a disk that fails."""

import os
import subprocess
import sys

import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.store.reader import read_surface
from losscape_mpi.store.writer import SurfaceWriter


def done(path):
    return np.flatnonzero(read_surface(path).status == 1).tolist()


@pytest.mark.parametrize("is_closing", [False, True])
def test_a_deleted_file_comes_back_with_all_points(create, store, is_closing):
    path = create()
    writer = SurfaceWriter(path)
    store(writer, [0, 3], [[1.0, 0, 0], [2.0, 0, 0]])
    path.unlink()
    with pytest.raises(UserError, match="was deleted while this run wrote it; it is there again"):
        writer.close() if is_closing else store(writer, [4], [[3.0, 0, 0]])
    writer.close()
    assert done(path) == [0, 3]
    assert read_surface(path).values["train/loss"][1, 1] == 2.0


def test_a_file_whose_folder_is_deleted_comes_back_too(create, store, tmp_path):
    (tmp_path / "inner").mkdir()
    path = create("inner/s.h5")
    writer = SurfaceWriter(path)
    store(writer, [1], [[1.0, 0, 0]])
    path.unlink()
    path.parent.rmdir()
    with pytest.raises(UserError, match="it is there again"):
        store(writer, [2], [[1.0, 0, 0]])
    assert done(path) == [1]


def test_a_replaced_file_is_kept_beside_the_other(create, store, tmp_path):
    path, other = create(), create("other.h5")
    stranger = other.read_bytes()
    writer = SurfaceWriter(path)
    store(writer, [5], [[1.0, 0, 0]])
    os.replace(other, path)
    kept = tmp_path / "s.rescued1.h5"
    with pytest.raises(UserError, match=rf"was replaced .*all points so far are in {kept}"):
        writer.close()
    assert path.read_bytes() == stranger
    assert done(kept) == [5]


def test_a_moved_file_is_found(create, store, tmp_path):
    path, moved = create(), tmp_path / "elsewhere.h5"
    writer = SurfaceWriter(path)
    store(writer, [5], [[1.0, 0, 0]])
    path.rename(moved)
    with pytest.raises(UserError, match=f"was moved to {moved} while this run wrote it"):
        store(writer, [4], [[1.0, 0, 0]])
    writer.close()  # only the first trouble matters, and it has been told
    assert done(moved) == [5]
    assert list(tmp_path.iterdir()) == [moved]


FAILING = """
import resource, sys
from pathlib import Path
import numpy as np
from losscape_mpi.command import run_command
from losscape_mpi.store.writer import SurfaceWriter
def main(argv):
    with SurfaceWriter(Path(sys.argv[1])) as writer:
        for index in (0, 1):
            one = np.ones(1, dtype="u1")
            writer.write(np.array([index]), np.ones((1, 3)), one, one, 0, one)
            resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
    return 0
run_command(main)
"""


def test_a_write_that_fails_in_mid_run_is_one_line_and_leaves_a_sound_file(create):
    path = create()
    command = [sys.executable, "-c", FAILING, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr == (
        f"losscape_mpi: {path} cannot be written (File too large); what it holds stays: free space "
        "and run the same command again to go on\n"
    )
    assert done(path) == [0]
    with SurfaceWriter(path) as writer:
        assert writer.pending.tolist() == [1, 2, 3, 4, 5]


def test_points_far_apart_and_close_are_written_where_they_belong(create, store):
    axes = {"alpha": np.arange(60.0), "beta": np.arange(50.0)}
    manifest = b'{"format": 2, "study": {"grid": {"beta": [0, 49, 50]}}}'
    path = create(manifest=manifest, axes=axes)
    rng = np.random.default_rng(0)
    order = rng.permutation(3000)[:1200]
    values = rng.standard_normal((3000, 3))
    with SurfaceWriter(path) as writer:
        for part in (order[:7], order[7:900], order[900:], np.arange(700, 900)):
            store(writer, part, values[part])
    surface = read_surface(path)
    written = np.zeros(3000, dtype=bool)
    written[order] = written[700:900] = True
    assert (surface.status.ravel() == written).all()
    for column, name in enumerate(surface.values):
        found = surface.values[name].ravel()
        assert found[written].tobytes() == values[written, column].tobytes()
