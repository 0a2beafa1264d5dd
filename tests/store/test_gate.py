"""Files that point elsewhere, or declare what they do not hold, are refused before that."""

import os
import socket
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.status import main as status
from losscape_mpi.store import probe
from losscape_mpi.store.create import back_up
from losscape_mpi.store.exchange.imports import read_any
from losscape_mpi.store.reader import (
    read_activity,
    read_directions,
    read_surface,
    read_with_sha256,
    surface_sha256,
)
from losscape_mpi.store.writer import SurfaceWriter

READERS = (read_surface, read_activity, read_directions, SurfaceWriter, read_any)


def assert_refused(path, words, readers=READERS):
    before = path.read_bytes()
    for read in readers:
        with pytest.raises(UserError) as caught:
            read(path)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def replaced_dataset(path, name="seconds", **options):
    with h5py.File(path, "r+") as file:
        data = file[name]
        shape, dtype = data.shape, data.dtype
        del file[name]
        file.create_dataset(name, shape, dtype, **options)


def test_a_dataset_in_another_file_is_refused_and_that_file_keeps_its_bytes(create, tmp_path):
    path, victim = create(), tmp_path / "victim"
    victim.write_bytes(bytes(range(256)))
    replaced_dataset(path, external=[(str(victim), 0, h5py.h5f.UNLIMITED)])
    assert_refused(path, "/seconds lies in another file (external storage)")
    assert victim.read_bytes() == bytes(range(256))


def test_a_link_into_another_file_is_refused_and_that_file_keeps_its_bytes(create, tmp_path):
    path, victim = create(), tmp_path / "victim.h5"
    with h5py.File(victim, "w") as file:
        file["status"] = np.zeros((3, 2), dtype="u1")
    before = victim.read_bytes()
    with h5py.File(path, "r+") as file:
        del file["status"]
        file["status"] = h5py.ExternalLink(str(victim), "/status")
    assert_refused(path, "/status is a link to another place or file")
    assert victim.read_bytes() == before


def test_an_external_pipe_stops_nobody(create, tmp_path):
    path = create()
    os.mkfifo(tmp_path / "pipe")
    with h5py.File(path, "r+") as file:
        del file["train/loss"]
        file["train/loss"] = h5py.ExternalLink(str(tmp_path / "pipe"), "/x")
    began = time.monotonic()
    assert_refused(path, "/train/loss is a link")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("target", ["/train/loss", "/status", "/missing"])
def test_soft_links_are_refused(create, target):
    path = create()
    with h5py.File(path, "r+") as file:
        del file["train/loss"]
        file["train/loss"] = h5py.SoftLink(target)
    assert_refused(path, "is a link to another place")


def test_a_group_within_itself_is_refused(create):
    path = create()
    with h5py.File(path, "r+") as file:
        file["train/again"] = file["train"]
    assert_refused(path, "is a group within itself")


@pytest.mark.parametrize("source", [".", "victim.h5"])
def test_virtual_datasets_are_refused(create, source):
    path = create()
    with h5py.File(path, "r+") as file:
        del file["train/loss"]
        layout = h5py.VirtualLayout((3, 2), "f8")
        layout[...] = h5py.VirtualSource(source, "train/loss", (3, 2))
        file.create_virtual_dataset("train/loss", layout)
    assert_refused(path, "/train/loss is a view of other datasets (virtual)")


@pytest.mark.parametrize("options", [{"chunks": (3, 2)}, {"compression": "gzip"}])
def test_datasets_in_pieces_are_refused(create, options):
    path = create()
    replaced_dataset(path, "train/loss", **options)
    assert_refused(path, "/train/loss is stored in pieces", READERS[:-1])


@pytest.mark.parametrize(
    ("name", "shape"), [("train/loss", (200_000, 200_000)), ("axes/alpha", (10**9,))]
)
def test_what_is_declared_and_not_stored_is_refused_before_it_is_made(create, name, shape):
    path = create()
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, shape, "f8")
    assert_refused(path, "bytes and stores 0")


def test_a_bomb_in_another_tools_file_is_refused(tmp_path):
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        shape, pieces = (1 << 13, 1 << 16), (1 << 13, 1 << 13)
        file.create_dataset("losses", shape, "f8", chunks=pieces, compression="gzip")
        file["X"] = file["Y"] = np.zeros((2, 2))
    assert_refused(path, "declares 4294967296 bytes", [read_any])


def test_datasets_that_share_bytes_are_refused(create):
    path = create()
    with h5py.File(path, "r") as file:
        places = [file[name].id.get_offset() for name in ("seconds", "manifest")]
    old, new = (place.to_bytes(8, "little") for place in places)
    data = path.read_bytes()
    assert data.count(old) == 1  # the address in the header of /seconds
    path.write_bytes(data.replace(old, new))
    assert_refused(path, "lies in the bytes of")


def test_a_dataset_that_has_moved_is_not_written_to(create):
    path = create()
    with h5py.File(path, "r+") as file:
        data = file["seconds"][()]
        del file["seconds"]
        file["more"] = np.zeros_like(data)  # takes its place
        file["seconds"] = data
    read_surface(path)
    assert_refused(path, "seconds does not lie where it did", [SurfaceWriter])


def test_datasets_and_attributes_of_ones_own_are_allowed(create, store):
    path = create()
    with h5py.File(path, "r+") as file:
        file["notes/own"] = np.arange(3)
        file["notes"].attrs["by"] = "me"
        file["words"] = "a text of variable length"
    with SurfaceWriter(path) as writer:
        store(writer, [2], [[1.0, 0.0, 0.0]])
    assert read_surface(path).counts()["done"] == 1


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "device"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "s.h5"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    began = time.monotonic()
    for read in (*READERS, back_up, lambda p: status([str(p)])):
        with pytest.raises(UserError, match=f"it is a {kind}, expected a surface file"):
            read(path)
    assert time.monotonic() - began < 1


def test_a_pipe_in_place_of_a_lock_file_is_refused(create):
    path = create()
    os.mkfifo(path.with_name("s.h5.lock"))
    with pytest.raises(UserError, match=r"s\.h5\.lock is no file"):
        SurfaceWriter(path)


def test_a_file_on_which_the_library_breaks_is_one_line(create, monkeypatch):
    path = create()
    os.utime(path, (1, 1))  # so that it is looked at anew
    # A thread that an earlier test left would make the child a new interpreter, unpatched.
    monkeypatch.setattr(probe.threading, "active_count", lambda: 1)
    monkeypatch.setattr(probe, "look", lambda *_: os.abort())
    with pytest.raises(UserError, match="the HDF5 library breaks on it, code -6"):
        read_surface(path)


def test_the_child_of_a_process_with_mpi_is_a_new_interpreter(create, monkeypatch):
    path = create()
    os.utime(path, (1, 1))
    monkeypatch.setitem(sys.modules, probe.UNSAFE_TO_FORK, object())
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"))
    read_surface(path)
    replaced_dataset(path, "train/loss", chunks=(3, 2))
    with pytest.raises(UserError, match="is stored in pieces"):
        read_surface(path)


def test_a_sound_file_is_looked_at_once(create, monkeypatch):
    path = create()
    os.utime(path, (1, 1))
    asked = []
    monkeypatch.setattr(probe, "_ask_child", lambda *what: asked.append(what) or "")
    for _ in range(2):
        read_surface(path)
    assert len(asked) == 1
    os.utime(path, (2, 2))
    read_surface(path)
    assert len(asked) == 2


def test_status_runs_where_a_pipe_lies_in_a_second(tmp_path):
    os.mkfifo(tmp_path / "s.h5")
    done = subprocess.run(
        [sys.executable, "-m", "losscape_mpi.status", str(tmp_path / "s.h5")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("data", ["text", np.zeros(3, "i4"), np.array([b"x"]), h5py.Empty("f4")])
def test_a_direction_that_is_no_tensor_is_refused(create, data):
    path = create()
    with h5py.File(path, "r+") as file:
        del file["directions/alpha/conv.weight"]
        file["directions/alpha/conv.weight"] = data
    for read in (read_directions, surface_sha256, read_with_sha256):
        with pytest.raises(UserError, match="expected a tensor of floats"):
            read(path)


def test_a_name_that_is_no_text_is_refused(create):
    path = create()
    with h5py.File(path, "r+") as file:
        file["directions/alpha"].move("conv.weight", b"conv\xff.weight")
    assert_refused(path, "can't decode byte 0xff")
