import struct
import zlib

import h5py
import numpy as np
import pytest

from losscape_mpi.store.checksum import accepted, row_crc
from losscape_mpi.store.layout import canonical_sha256, to_json
from losscape_mpi.store.reader import surface_sha256
from losscape_mpi.store.writer import SurfaceWriter


@pytest.fixture
def filled(create, store):
    """A file with two of its six points computed."""
    path = create()
    with SurfaceWriter(path) as writer:
        store(writer, [0, 3], [[1.0, 0.1, 0], [2.0, 0.2, 0]])
    return path


def change(path, name, place, value):
    with h5py.File(path, "r+") as file:
        file[name][place] = value


def test_json_does_not_depend_on_the_order_of_keys():
    assert to_json({"b": 1, "a": {"d": 0.1, "c": "\u03b1"}}) == to_json(
        {"a": {"c": "\u03b1", "d": 0.1}, "b": 1}
    )


def test_json_refuses_what_json_cannot_say():
    with pytest.raises(ValueError, match="JSON"):
        to_json({"loss": float("nan")})


def test_checksum_is_the_crc32_of_the_little_endian_values_in_column_order():
    row = np.array([1.5, float("nan"), -0.0, float("inf")])
    assert row_crc(row) == zlib.crc32(struct.pack("<4d", *row))
    assert row_crc(row) == row_crc(row.astype(">f8"))
    assert row_crc(row) != row_crc(np.array([1.5, float("nan"), 0.0, float("inf")]))


def test_only_finished_points_with_a_right_checksum_are_accepted():
    table = np.arange(10.0).reshape(5, 2)
    crc = np.array([row_crc(row) for row in table], dtype="u4")
    status = np.array([0, 1, 2, 3, 1])
    crc[4] ^= 1
    assert accepted(status, crc, list(table.T)).tolist() == [False, True, True, False, False]


def test_checksums_of_many_points_are_those_of_each():
    rng = np.random.default_rng(0)
    columns = [rng.standard_normal(20_003) for _ in range(3)]
    columns[1][:] = 0.0
    columns[2][::7] = np.nan
    crc = np.array(
        [zlib.crc32(struct.pack("<3d", *row)) for row in zip(*columns, strict=True)], dtype="u4"
    )
    crc[[5, 20_002]] ^= 1 << 31
    status = np.full(len(crc), 1, dtype="u1")
    status[7] = 0
    found = accepted(status, crc, columns)
    assert np.flatnonzero(~found).tolist() == [5, 7, 20_002]


@pytest.mark.parametrize("name", ["seconds", "worker", "attempts"])
def test_hash_does_not_depend_on_who_computed_a_point(filled, name):
    before = surface_sha256(filled)
    change(filled, name, (0, 0), 7)
    assert surface_sha256(filled) == before


def test_hash_does_not_depend_on_runs_and_workers(filled):
    before = surface_sha256(filled)
    with SurfaceWriter(filled) as writer:
        writer.start_run(1.7e9, "another-host", 99, "4711")
        writer.add_worker("another-host", "another CPU")
    assert surface_sha256(filled) == before


def test_hash_does_not_depend_on_provenance_and_path(create):
    first = create("first.h5", provenance=b'{"host": "a"}')
    second = create("second.h5", provenance=b'{"host": "b, with a longer name"}')
    assert surface_sha256(first) == surface_sha256(second)


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("axes/alpha", 1, 5e-324),
        ("axes/beta", 0, -0.25),
        ("train/loss", (0, 0), 1.0 + 2**-52),
        ("train/loss_stderr", (2, 1), 0.0),
        ("train/nonfinite", (1, 1), 1.0),
        ("status", (2, 0), 3),
        ("crc", (0, 0), 0),
        ("directions/alpha/conv.weight", (0, 0, 0), -0.0),
        ("directions/beta/conv.weight", (0, 1, 2), 1.0),
    ],
)
def test_hash_depends_on_all_that_is_the_result(filled, name, place, value):
    before = surface_sha256(filled)
    change(filled, name, place, value)
    assert surface_sha256(filled) != before


def test_hash_depends_on_the_manifest(create):
    study = {"grid": {"beta": [-0.5, 0.25, 2]}}
    first = create("first.h5", manifest=to_json({"format": 2, "study": study, "seed": 0}))
    second = create("second.h5", manifest=to_json({"format": 2, "study": study, "seed": 1}))
    assert surface_sha256(first) != surface_sha256(second)


def test_hash_tells_the_axes_of_directions_apart(create):
    one, two = np.ones(3, dtype="f4"), np.full(3, 2, dtype="f4")
    first = create("first.h5", directions={"alpha": {"w": one}, "beta": {"w": two}})
    second = create("second.h5", directions={"alpha": {"w": two}, "beta": {"w": one}})
    assert surface_sha256(first) != surface_sha256(second)


def test_hash_does_not_depend_on_the_order_of_names():
    axes, values = {"alpha": np.zeros(1), "beta": np.ones(1)}, {"a": np.ones(1), "b": np.zeros(1)}
    status, crc, directions = np.ones(1), np.ones(1), {"alpha/w": np.ones(2), "alpha/b": np.ones(1)}

    def reverse(arrays):
        return dict(reversed(arrays.items()))

    first = canonical_sha256(b"{}", axes, values, status, crc, directions)
    second = canonical_sha256(
        b"{}", reverse(axes), reverse(values), status, crc, reverse(directions)
    )
    assert first == second


def test_hash_does_not_depend_on_the_order_of_writing(create, store):
    rows = {k: [float(k), 0.0, 0.0] for k in range(6)}
    hashes = []
    for name, chunks in {
        "first.h5": [[0, 1, 2, 3, 4, 5]],
        "second.h5": [[5, 0], [3], [1, 4, 2]],
    }.items():
        path = create(name)
        with SurfaceWriter(path) as writer:
            for chunk in chunks:
                store(writer, chunk, [rows[k] for k in chunk])
        hashes.append(surface_sha256(path))
    assert hashes[0] == hashes[1]
