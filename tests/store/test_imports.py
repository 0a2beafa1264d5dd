import pickle
import re

import h5py
import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.point.column import columns_from_names
from losscape_mpi.store.create import create_surface
from losscape_mpi.store.exchange.imports import parse_axes, read_any
from losscape_mpi.store.exchange.surface import write_2018_surface
from losscape_mpi.store.layout import FORMAT, to_json
from losscape_mpi.store.reader import read_surface
from losscape_mpi.store.tables import write_npz
from losscape_mpi.store.writer import SurfaceWriter

ALPHA, BETA = np.array([-1.0, 0.0, 1.0]), np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
HEIGHT = np.add.outer(ALPHA, 10 * BETA)  # f(alpha, beta) = alpha + 10 beta: no other order fits


def assert_is_height(surface, column, height=HEIGHT):
    assert surface.values[column].tolist() == height.tolist()
    assert surface.values[column].flags["C_CONTIGUOUS"]
    assert (surface.status == 1).all()
    assert surface.alpha.tolist() == ALPHA[: len(height)].tolist()


@pytest.fixture
def own(tmp_path):
    """A surface file of ours, 3 x 5, the last two points pending, one loss NaN, one infinite."""
    path = tmp_path / "own.h5"
    study = {"grid": {"alpha": [-1, 1, 3], "beta": [-2, 2, 5]}}
    manifest, axes = to_json({"format": FORMAT, "study": study}), {"alpha": ALPHA, "beta": BETA}
    columns = columns_from_names(["train/loss", "train/loss_stderr", "train/accuracy"])
    create_surface(path, manifest, to_json({"name": "own"}), axes, columns, {})
    loss = HEIGHT.ravel()[:13].copy()
    loss[0], loss[1], loss[2] = np.nan, np.inf, 0.0
    values = np.stack([loss, np.full(13, 0.1), np.arange(13) / 1000], axis=1)
    status, ones = np.where(np.isfinite(loss), 1, 2), np.ones(13)
    with SurfaceWriter(path) as writer:
        writer.write(np.arange(13), values, status, ones, 0, ones)
    return path


def write_scalars(path, height, without=(), with_accuracy=True):
    with h5py.File(path, "w") as file:
        for (i, j), value in np.ndenumerate(height):
            if (i, j) not in without:
                file[f"loss_{i}_{j}"] = value
                if with_accuracy:
                    file[f"acc_{i}_{j}"] = 54.4 + i
    return path


def test_our_own_file_is_read_as_it_is(own):
    got, want = read_any(own), read_surface(own)
    assert got.values["train/loss"].tobytes() == want.values["train/loss"].tobytes()
    assert got.manifest == want.manifest
    assert got.status.tolist() == want.status.tolist()


def test_ours_to_the_2018_layout_and_back_is_equal(own, tmp_path):
    write_2018_surface(read_surface(own), tmp_path / "old.h5")
    got, want = read_any(tmp_path / "old.h5"), read_surface(own)
    for column in ("train/loss", "train/accuracy"):
        assert got.values[column].tobytes() == want.values[column].tobytes()
    assert got.status.tolist() == want.status.tolist()
    assert got.status.ravel()[[0, 1, 2, 13]].tolist() == [2, 2, 1, 0]
    assert (got.alpha.tolist(), got.beta.tolist()) == (ALPHA.tolist(), BETA.tolist())


def test_our_npz_is_told_by_its_content_not_by_its_name(own, tmp_path):
    write_npz(read_surface(own), tmp_path / "own.dat")
    got = read_any(tmp_path / "own.dat")
    assert got.values["train/loss"].tobytes() == read_surface(own).values["train/loss"].tobytes()


def test_genuine_file_of_the_2018_tool_is_read(shared):
    surface = read_any(shared / "reference" / "resnet56" / "surface.h5")
    assert surface.values["train/loss"].shape == (9, 9)
    assert surface.values["train/loss"].argmin() == 40
    assert surface.manifest["source"] == "2018 tool"


def test_scalar_files_are_read_with_the_first_number_on_alpha(tmp_path):
    path = write_scalars(tmp_path / "output.h5", HEIGHT)
    surface = read_any(path, axes=parse_axes("-1:1:3,-2:2:5"))
    assert_is_height(surface, "data/loss")
    assert surface.values["data/accuracy"][2].tolist() == [0.564] * 5
    assert surface.beta.tolist() == BETA.tolist()
    assert surface.manifest["source"] == "nreHieW/loss"


def test_scalar_file_of_more_than_ten_points_keeps_its_order(tmp_path):
    height = np.add.outer(np.arange(12.0), 100 * np.arange(11.0))
    path = write_scalars(tmp_path / "output.h5", height, with_accuracy=False)
    surface = read_any(path, axes=parse_axes("0:11:12,0:10:11"))
    assert surface.values["data/loss"].tolist() == height.tolist()
    assert list(surface.values) == ["data/loss"]


def test_scalar_file_without_some_points_has_them_pending(tmp_path):
    path = write_scalars(tmp_path / "output.h5", HEIGHT, without=[(1, 3)])
    surface = read_any(path, axes=parse_axes("-1:1:3,-2:2:5"))
    assert np.argwhere(surface.status == 0).tolist() == [[1, 3]]
    assert np.isnan(surface.values["data/loss"][1, 3])


def test_a_scalar_file_that_names_a_far_point_is_refused_before_room_is_made_for_it(tmp_path):
    path = tmp_path / "far.h5"
    with h5py.File(path, "w") as file:
        file["loss_99999_99999"] = 1.0
    with pytest.raises(UserError, match="100000 x 100000, which is too large"):
        read_any(path)


def test_scalar_file_without_axes_asks_for_them_in_one_line(tmp_path):
    path = write_scalars(tmp_path / "output.h5", HEIGHT)
    with pytest.raises(UserError) as caught:
        read_any(path)
    assert "holds 3 x 5 points without coordinates" in str(caught.value)
    assert "--axes -1:1:10" in str(caught.value)
    with pytest.raises(UserError, match=r"3 x 5 points, found --axes for 5 x 3"):
        read_any(path, axes=(BETA, ALPHA))


def test_axes_of_a_text_hold_zero_itself():
    alpha, beta = parse_axes("-1:1:51")
    assert alpha.tolist() == beta.tolist()
    assert alpha[25] == 0
    alpha, beta = parse_axes("-0.5:1:4,0:1:3")
    assert alpha.tolist() == [-0.5, 0.0, 0.5, 1.0]
    assert beta.tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    "text", ["", "1:2", "a:b:3", "0:1:0", "0:1:2.5", "0:inf:3", "0:1:3,,", ":"]
)
def test_axes_of_another_form_are_refused(text):
    with pytest.raises(UserError, match="expected MIN:MAX:NUM"):
        parse_axes(text)


def test_losscape_file_is_turned_from_mesh_order(tmp_path):
    x, y = np.meshgrid(ALPHA, BETA)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["X"], file["Y"], file["losses"] = x, y, x + 10 * y
    surface = read_any(tmp_path / "data.h5")
    assert_is_height(surface, "train/loss")
    assert surface.beta.tolist() == BETA.tolist()


def test_losscape_file_in_another_order_is_refused(tmp_path):
    x, y = np.meshgrid(ALPHA, BETA, indexing="ij")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["X"], file["Y"], file["losses"] = x, y, x + 10 * y
    with pytest.raises(UserError, match="expected a mesh"):
        read_any(tmp_path / "data.h5")


def test_plane_of_mode_connectivity_is_read_with_its_lengths(tmp_path):
    columns = {"tr_nll": HEIGHT, "tr_loss": HEIGHT + 1, "te_acc": HEIGHT + 50.4}
    lengths = np.stack(np.meshgrid(7.5 * ALPHA, 0.5 * BETA, indexing="ij"), axis=-1)
    np.savez(
        tmp_path / "plane.npz", alphas=ALPHA, betas=BETA, grid=lengths, ts=np.zeros(61), **columns
    )
    surface = read_any(tmp_path / "plane.npz")
    assert_is_height(surface, "train/loss")
    assert surface.values["train/loss_with_penalty"][0, 0] == HEIGHT[0, 0] + 1
    assert surface.values["test/accuracy"][1, 2] == 0.504
    assert surface.manifest["plane"]["norms"] == {"alpha": 7.5, "beta": 0.5}
    assert surface.manifest["study"]["evaluation"]["batchnorm"] == "reestimate"


def test_landscaper_files_of_one_and_two_dimensions_are_read(tmp_path):
    square = np.add.outer(ALPHA, 10 * ALPHA)
    np.savez(tmp_path / "two.npz", loss=square, coordinates=[ALPHA, ALPHA])
    np.savez(tmp_path / "one.npz", loss=ALPHA**2, coordinates=[ALPHA])
    assert_is_height(read_any(tmp_path / "two.npz"), "data/loss", square)
    line = read_any(tmp_path / "one.npz")
    assert line.is_line
    assert line.values["data/loss"][:, 0].tolist() == [1.0, 0.0, 1.0]


def test_landscaper_file_of_three_dimensions_is_refused(tmp_path):
    np.savez(tmp_path / "l.npz", loss=np.zeros((3, 3, 3)), coordinates=[ALPHA] * 3)
    with pytest.raises(UserError, match="expected one or two axes"):
        read_any(tmp_path / "l.npz")


class Hostile:
    def __reduce__(self):
        return print, ("executed",)


def write_foreign_files(folder):
    """Files that are no surface, by what the message must say."""
    (folder / "text").write_text("alpha beta loss\n")
    (folder / "empty").write_bytes(b"")
    (folder / "pickle").write_bytes(pickle.dumps(Hostile()))
    (folder / "folder").mkdir()
    (folder / "zip").write_bytes(b"PK\x03\x04 and no more")
    (folder / "hdf").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    np.savez(folder / "objects.npz", alphas=np.array([Hostile()], dtype=object), betas=BETA)
    np.savez(folder / "other.npz", weights=np.zeros(3))
    np.savez(folder / "words.npz", loss=np.array(["a"]), coordinates=np.array([["b"]]))
    with h5py.File(folder / "other.h5", "w") as file:
        file["weights"] = 1
    with h5py.File(folder / "words.h5", "w") as file:
        file["loss_0_0"] = "text"
    with h5py.File(folder / "huge.h5", "w") as file:
        file.create_dataset("losses", (10**7, 10**8), "f8", chunks=(100, 100))
        file["X"], file["Y"] = 0.0, 0.0
    return {
        "text": "neither an HDF5 nor an NPZ",
        "empty": "neither an HDF5 nor an NPZ",
        "pickle": "neither an HDF5 nor an NPZ",
        "folder": "cannot be read",
        "zip": "no readable NPZ",
        "hdf": "no readable surface file",
        "objects.npz": "allow_pickle=False",
        "other.npz": "holds weights",
        "words.npz": "no numbers",
        "other.h5": "holds weights",
        "words.h5": "no readable",
        "huge.h5": "no readable",
        "missing": "no such surface file",
    }


def test_every_foreign_or_hostile_file_is_one_line(tmp_path, capsys):
    for name, said in write_foreign_files(tmp_path).items():
        with pytest.raises(UserError, match=re.escape(said)) as caught:
            read_any(tmp_path / name, axes=parse_axes("0:1:1"))
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""
