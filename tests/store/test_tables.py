import csv
import json
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.point.column import Column
from losscape_mpi.store.layout import FORMAT, POINT_DATASETS
from losscape_mpi.store.surface import Surface, Trajectory
from losscape_mpi.store.tables import read_npz, write_csv, write_npz
from losscape_mpi.study.grid import axis

GRID = [-1 / 3, 1 / 3, 5]
ALPHA, BETA = np.array([-1.0, 0.0, 0.7]), axis(*GRID)


@pytest.fixture
def surface(tmp_path):
    """3 x 5 points with every status, NaN, both infinities, -0.0 and a NaN of unusual bits."""
    rng = np.random.default_rng(3)
    loss = rng.normal(size=(3, 5)) / 3
    status = np.ones((3, 5), dtype="u1")
    loss[0, 1], loss[0, 2], loss[0, 3], loss[0, 0] = np.nan, np.inf, -np.inf, -0.0
    status[0, 1:4] = 2
    status[1, 0], status[1, 1] = 0, 3
    loss[1, :2] = np.nan
    loss[2, 4] = np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\x7f", "<f8")[0]
    points = {
        name: rng.integers(0, 200, size=(3, 5)).astype(dtype)
        for name, dtype in POINT_DATASETS.items()
    }
    points |= {"status": status}
    manifest = {"format": 1, "fingerprint": "ab" * 32, "study": {"grid": {"beta": GRID}}}
    values = {"train/loss": loss, "train/loss_stderr": loss / 7, "test/accuracy": loss**2}
    provenance = {"name": "two\nlines, ä"}
    return Surface(tmp_path / "s.h5", manifest, provenance, ALPHA, BETA, values, **points)


@pytest.fixture
def trajectory():
    loss = {"train/loss": np.array([2.0, np.nan, np.inf])}
    axes = np.array([0.1, 0.2, 0.3]), np.array([-1.0, 0.0, 1.0])
    return Trajectory(["0", "ten ä", "20"], *axes, axes[0] / 3, loss, {}, {"kind": "pca", "k": 2})


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_npz_gives_the_surface_back_with_every_bit(tmp_path, surface):
    write_npz(surface, tmp_path / "s.npz")
    got = read_npz(tmp_path / "s.npz")
    assert same_bits(got.alpha, surface.alpha)
    assert same_bits(got.beta, surface.beta)
    assert list(got.values) == list(surface.values)
    assert all(same_bits(got.values[name], surface.values[name]) for name in surface.values)
    assert all(same_bits(getattr(got, n), getattr(surface, n)) for n in POINT_DATASETS)
    assert (got.manifest, got.provenance) == (surface.manifest, surface.provenance)
    assert got.path == tmp_path / "s.npz"
    assert [path.name for path in tmp_path.iterdir()] == ["s.npz"]


def test_npz_keeps_what_the_columns_are(tmp_path, surface):
    columns = {
        "train/loss": Column("train", "loss", description="mean loss"),
        "train/loss_stderr": Column("train", "loss_stderr", "residual", "train/loss", low=0.0),
        "test/accuracy": Column("test", "accuracy", "part", "train/loss", comparison="absolute"),
    }
    manifest = surface.manifest | {"format": FORMAT}
    write_npz(replace(surface, manifest=manifest, columns=columns), tmp_path / "s.npz")
    assert read_npz(tmp_path / "s.npz").columns == columns


def test_npz_keeps_the_axis_of_a_training_path(tmp_path, surface):
    manifest = {
        "format": FORMAT,
        "study": {"path": {}},
        "path": {"axis": "step", "labels": ["a"] * len(ALPHA)},
    }
    one = {name: getattr(surface, name)[:, :1].copy() for name in POINT_DATASETS} | {
        "values": {name: array[:, :1].copy() for name, array in surface.values.items()}
    }
    path = replace(surface, manifest=manifest, beta=np.zeros(1), axis_names=("step",), **one)
    write_npz(path, tmp_path / "s.npz")
    got = read_npz(tmp_path / "s.npz")
    assert (got.axis_names, got.is_path) == (("step",), True)


def test_npz_keeps_training_paths(tmp_path, surface, trajectory):
    write_npz(replace(surface, trajectories={"sgd": trajectory}), tmp_path / "s.npz")
    (got,) = read_npz(tmp_path / "s.npz").trajectories.values()
    assert got.labels == trajectory.labels
    assert got.record == trajectory.record
    assert got.plane_values == {}
    for name in ("alpha", "beta", "residual"):
        assert same_bits(getattr(got, name), getattr(trajectory, name))
    assert same_bits(got.values["train/loss"], trajectory.values["train/loss"])


def test_npz_is_read_by_numpy_alone(tmp_path, surface):
    write_npz(surface, tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz", allow_pickle=False) as file:
        assert file["train/loss"].shape == (3, 5)
        assert file["train/loss"][2, 1] == surface.values["train/loss"][2, 1]
        assert json.loads(str(file["manifest"])) == surface.manifest
        assert file["status"].tolist() == surface.status.tolist()


def test_npz_has_the_same_bytes_each_time(tmp_path, surface):
    write_npz(surface, tmp_path / "a.npz")
    write_npz(surface, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_npz_made_by_hand_needs_only_axes_status_manifest_and_values(tmp_path):
    manifest = json.dumps({"format": 1, "study": {"grid": {"beta": None}}})
    status, loss = np.ones((3, 1), dtype=int), np.array([[1.0], [2.0], [3.0]])
    np.savez(
        tmp_path / "s.npz",
        **{"alpha": ALPHA, "beta": [0.0], "status": status, "manifest": manifest, "a/loss": loss},
    )
    got = read_npz(tmp_path / "s.npz")
    assert got.is_line
    assert got.values["a/loss"][:, 0].tolist() == [1.0, 2.0, 3.0]
    assert got.status.dtype == np.uint8
    assert (got.worker == 65535).all()


def test_csv_has_one_line_for_each_point_with_exact_numbers(tmp_path, surface):
    write_csv(surface, tmp_path / "s.csv")
    lines = (tmp_path / "s.csv").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["# study: two lines, ä", f"# fingerprint: {'ab' * 32}"]
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert list(rows[0]) == ["alpha", "beta", "status", *surface.values]
    assert len(rows) == 15
    for k, row in enumerate(rows):
        i, j = divmod(k, 5)
        assert (float(row["alpha"]), float(row["beta"])) == (ALPHA[i], BETA[j])
        for name, values in surface.values.items():
            np.testing.assert_array_equal(float(row[name]), values[i, j])
    assert [row["status"] for row in rows[:7]] == [
        "done", "nonfinite", "nonfinite", "nonfinite", "done", "pending", "failed"
    ]  # fmt: skip
    assert rows[0]["train/loss"] == "-0.0"


def test_csv_is_read_by_numpy(tmp_path, surface):
    write_csv(surface, tmp_path / "s.csv")
    table = np.genfromtxt(tmp_path / "s.csv", delimiter=",", skip_header=3, usecols=(0, 1, 3))
    np.testing.assert_array_equal(table[:, 2].reshape(3, 5), surface.values["train/loss"])
    np.testing.assert_array_equal(table[:, 0].reshape(3, 5)[:, 0], ALPHA)


@pytest.mark.parametrize("write", [write_csv, write_npz])
def test_table_replaces_an_older_one_and_makes_its_folder(tmp_path, surface, write):
    path = tmp_path / "new folder" / "t.x"
    write(surface, path)
    first = path.read_bytes()
    path.write_bytes(b"old")
    write(surface, path)
    assert path.read_bytes() == first
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("write", [write_csv, write_npz])
def test_table_that_cannot_be_written_is_one_line(tmp_path, surface, write):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match="cannot be written") as caught:
        write(surface, tmp_path / "file" / "t.x")
    assert "\n" not in str(caught.value)


class Hostile:
    def __reduce__(self):
        return print, ("executed",)


def test_hostile_npz_is_refused_and_never_executed(tmp_path, surface, capsys):
    plain = tmp_path / "pickle.npz"
    plain.write_bytes(pickle.dumps(Hostile()))
    inside = tmp_path / "inside.npz"
    np.savez(inside, alpha=np.array([Hostile()], dtype=object), beta=BETA, status=0, manifest="{}")
    for path in (plain, inside):
        with pytest.raises(UserError, match="no readable NPZ") as caught:
            read_npz(path)
        assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_damaged_npz_is_one_line(tmp_path, surface):
    whole, cut = tmp_path / "s.npz", tmp_path / "cut.npz"
    write_npz(surface, whole)
    cut.write_bytes(whole.read_bytes()[:-100])
    flipped = tmp_path / "flipped.npz"
    content = bytearray(whole.read_bytes())
    content[content.index(b"train/loss.npy") + 200] ^= 1
    flipped.write_bytes(content)
    huge = tmp_path / "huge.npz"
    with zipfile.ZipFile(huge, "w") as file, file.open("alpha.npy", "w") as member:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
        np.lib.format.write_array_header_1_0(member, header)
    (tmp_path / "text.npz").write_text("alpha,beta")
    for name in ("cut", "flipped", "huge", "text", "missing"):
        with pytest.raises(UserError) as caught:
            read_npz(tmp_path / f"{name}.npz")
        assert str(tmp_path / f"{name}.npz") in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": None}, "lacks status"),
        ({"manifest": np.array('{"format": 3}')}, "format version 3, this program reads 1 and 2"),
        ({"manifest": np.array("{")}, "damaged"),
        ({"train/loss": np.zeros((5, 3))}, r"train/loss has shape \(5, 3\), expected \(3, 5\)"),
    ],
)
def test_npz_of_another_content_is_refused_by_name(tmp_path, surface, change, said):
    write_npz(surface, tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as file:
        arrays = {name: file[name] for name in file.files} | change
    np.savez(tmp_path / "t.npz", **{n: a for n, a in arrays.items() if a is not None})
    with pytest.raises(UserError, match=said):
        read_npz(tmp_path / "t.npz")
