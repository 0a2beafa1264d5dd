import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.store.exchange.directions import read_2018_directions, write_2018_directions
from losscape_mpi.store.exchange.surface import read_2018_surface, write_2018_surface
from losscape_mpi.store.layout import POINT_DATASETS
from losscape_mpi.store.surface import Surface

ALPHA, BETA = np.array([-1.0, 0.0, 1.0]), np.array([-2.0, -1.0, 0.0, 1.0, 2.0])


def height(alpha, beta):
    return alpha + 10 * beta


def write_as_the_2018_tool_does(path, x, y, loss, accuracy):
    """Point k of the tool's job list is (x[k mod nx], y[k div nx]), at flat place k."""
    xs, ys = np.meshgrid(x, y)
    shape = (len(x), len(y))
    with h5py.File(path, "w") as file:
        file["dir_file"] = "some_directions.h5"
        file["xcoordinates"], file["ycoordinates"] = x, y
        file["train_loss"] = loss(xs.ravel(), ys.ravel()).reshape(shape)
        file["train_acc"] = accuracy(xs.ravel(), ys.ravel()).reshape(shape)
    return path


def make_surface(values, status, alpha, beta, is_line=False):
    points = {name: np.zeros(status.shape, dtype) for name, dtype in POINT_DATASETS.items()}
    points["status"] = status
    grid = {"alpha": [alpha[0], alpha[-1], len(alpha)], "beta": None if is_line else [0, 0, 1]}
    manifest = {"format": 1, "study": {"grid": grid}}
    return Surface(Path("made.h5"), manifest, {}, alpha, beta, values, **points)


def rich_surface(num_alpha, num_beta):
    """Losses with zero, NaN and infinity, pending points, and accuracies k/1000."""
    rng = np.random.default_rng(7)
    shape = (num_alpha, num_beta)
    loss, accuracy = rng.normal(size=shape), rng.integers(0, 1001, size=shape) / 1000
    loss[0, 0], loss[0, 1], loss[1, 0], loss[1, 1] = 0.0, np.nan, np.inf, -np.inf
    status = np.where(np.isfinite(loss), 1, 2).astype("u1")
    status[2, 1:3] = 0
    loss[2, 1:3] = accuracy[2, 1:3] = np.nan
    values = {"train/loss": loss, "train/accuracy": accuracy}
    return make_surface(values, status, np.linspace(-1, 1, num_alpha), np.linspace(0, 3, num_beta))


def test_file_of_the_2018_tool_is_read_with_alpha_on_axis_0(tmp_path):
    path = write_as_the_2018_tool_does(
        tmp_path / "s.h5", ALPHA, BETA, height, lambda x, y: 50 + 10 * x + y
    )
    surface = read_2018_surface(path)
    for i, a in enumerate(ALPHA):
        for j, b in enumerate(BETA):
            assert surface.values["train/loss"][i, j] == a + 10 * b
            assert surface.values["train/accuracy"][i, j] == pytest.approx((50 + 10 * a + b) / 100)
    assert surface.status.tolist() == np.ones((3, 5)).tolist()
    assert not surface.is_line


def test_square_file_is_transposed(tmp_path):
    path = write_as_the_2018_tool_does(tmp_path / "s.h5", ALPHA, ALPHA, height, np.maximum)
    got = read_2018_surface(path).values["train/loss"]
    assert got.tolist() == [[a + 10 * b for b in ALPHA] for a in ALPHA]


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4)])
def test_surface_survives_the_round_trip_with_every_bit(tmp_path, shape):
    surface = rich_surface(*shape)
    write_2018_surface(surface, tmp_path / "s.h5")
    got = read_2018_surface(tmp_path / "s.h5")
    for name, values in surface.values.items():
        assert got.values[name].tobytes() == values.tobytes(), name
    assert got.status.tolist() == surface.status.tolist()
    assert got.alpha.tolist() == surface.alpha.tolist()
    assert got.beta.tolist() == surface.beta.tolist()


def test_file_survives_the_round_trip_with_every_bit(tmp_path, shared):
    source = shared / "reference" / "resnet56" / "surface.h5"
    write_2018_surface(read_2018_surface(source), tmp_path / "s.h5")
    with h5py.File(source, "r") as want, h5py.File(tmp_path / "s.h5", "r") as got:
        assert set(got) == set(want)
        for name in want:
            assert np.asarray(got[name][()]).tobytes() == np.asarray(want[name][()]).tobytes()


def test_missing_point_is_minus_one_in_the_2018_file_and_zero_or_nan_is_not(tmp_path):
    write_2018_surface(rich_surface(3, 5), tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5", "r") as file:
        loss, accuracy = file["train_loss"][()].ravel(), file["train_acc"][()].ravel()
    pending = [1 * 3 + 2, 2 * 3 + 2]  # flat place j * nx + i of (2, 1) and (2, 2)
    assert np.flatnonzero(loss == -1).tolist() == pending
    assert np.flatnonzero(accuracy == -1).tolist() == pending
    assert loss[0] == 0
    assert np.isnan(loss[3])


def test_failed_point_is_written_as_not_computed(tmp_path):
    surface = rich_surface(3, 5)
    surface.status[2, 1] = 3
    write_2018_surface(surface, tmp_path / "s.h5")
    assert read_2018_surface(tmp_path / "s.h5").status[2, 1] == 0


def test_split_that_is_not_computed_yet_leaves_the_other_in_place(tmp_path):
    path = write_as_the_2018_tool_does(tmp_path / "s.h5", ALPHA, BETA, height, height)
    with h5py.File(path, "a") as file:
        file["test_loss"] = file["test_acc"] = np.full((3, 5), -1.0)
    surface = read_2018_surface(path)
    assert (surface.status == 0).all()
    assert np.isnan(surface.values["test/loss"]).all()
    assert surface.values["train/loss"][2, 0] == 1 + 10 * -2
    write_2018_surface(surface, tmp_path / "again.h5")
    with h5py.File(tmp_path / "again.h5", "r") as file:
        assert (file["test_loss"][()] == -1).all()
        assert file["train_loss"][()].ravel()[2] == 1 + 10 * -2


@pytest.mark.parametrize(
    ("loss", "accuracy"), [(-1.0, 1.0), (-1.0, 0.0), (0.7, -1.0), (-1.0, 54.4)]
)
def test_one_fill_value_is_enough_for_a_point_that_is_not_computed(tmp_path, loss, accuracy):
    with h5py.File(tmp_path / "line.h5", "w") as file:
        file["xcoordinates"] = ALPHA
        file["train_loss"], file["train_acc"] = [3.0, loss, 2.0], [10.0, accuracy, 1.0]
    surface = read_2018_surface(tmp_path / "line.h5")
    assert surface.status[:, 0].tolist() == [1, 0, 1]
    for name, values in {"loss": [3.0, np.nan, 2.0], "accuracy": [0.1, np.nan, 0.01]}.items():
        np.testing.assert_array_equal(surface.values[f"train/{name}"][:, 0], values)


def test_line_is_read_and_written_as_one_dimension(tmp_path):
    with h5py.File(tmp_path / "line.h5", "w") as file:
        file["xcoordinates"] = ALPHA
        file["train_loss"], file["train_acc"] = [3.0, 1.0, -1.0], [10.0, 54.4, -1.0]
    surface = read_2018_surface(tmp_path / "line.h5")
    assert surface.is_line
    assert surface.beta.tolist() == [0.0]
    assert surface.values["train/accuracy"][:2, 0].tolist() == [0.1, 0.544]
    assert surface.status[:, 0].tolist() == [1, 1, 0]
    write_2018_surface(surface, tmp_path / "again.h5")
    with h5py.File(tmp_path / "again.h5", "r") as file:
        assert "ycoordinates" not in file
        assert file["train_loss"][()].tolist() == [3.0, 1.0, -1.0]
        assert file["train_acc"][()].tolist() == [10.0, 54.4, -1.0]


def test_computed_minus_one_that_would_be_lost_is_refused(tmp_path):
    status = np.ones((2, 1), dtype="u1")
    surface = make_surface(
        {"train/loss": np.array([[-1.0], [2.0]])}, status, ALPHA[:2], np.zeros(1), is_line=True
    )
    with pytest.raises(UserError, match="exactly -1"):
        write_2018_surface(surface, tmp_path / "s.h5")
    assert list(tmp_path.iterdir()) == []


def test_genuine_surface_has_its_minimum_at_the_center(shared):
    surface = read_2018_surface(shared / "reference" / "resnet56" / "surface.h5")
    loss = surface.values["train/loss"]
    assert loss.shape == (9, 9)
    assert np.unravel_index(loss.argmin(), loss.shape) == (4, 4)
    assert (surface.alpha[4], surface.beta[4]) == (0, 0)
    assert surface.values["train/accuracy"][4, 4] == 1.0
    assert surface.provenance["directions"] == "directions.h5"


def test_genuine_directions_have_173_tensors_and_the_file_is_left_alone(shared):
    path = shared / "reference" / "resnet56" / "directions.h5"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    got = read_2018_directions(path)
    assert {axis: len(tensors) for axis, tensors in got.items()} == {"alpha": 173, "beta": 173}
    assert got["alpha"][0].shape == (16, 3, 3, 3)
    assert not np.array_equal(got["alpha"][0], got["beta"][0])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


@pytest.mark.parametrize("axes", [("alpha",), ("alpha", "beta")])
def test_directions_keep_their_order_beyond_ten_tensors(tmp_path, axes):
    want = {a: [np.full((k % 3 + 1, 2), k, dtype="f4") for k in range(12)] for a in axes}
    want["alpha"][11] = np.array(5)  # num_batches_tracked is a scalar
    write_2018_directions(tmp_path / "d.h5", want)
    got = read_2018_directions(tmp_path / "d.h5")
    assert list(got) == list(axes)
    for axis in axes:
        for a, b in zip(got[axis], want[axis], strict=True):
            assert a.dtype == b.dtype
            assert a.tolist() == b.tolist()


def test_directions_with_a_missing_number_are_refused(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["xdirection/0"], file["xdirection/2"] = [1.0], [2.0]
    with pytest.raises(UserError, match="without gaps"):
        read_2018_directions(tmp_path / "d.h5")


@pytest.mark.parametrize("read", [read_2018_directions, read_2018_surface])
def test_wrong_files_are_explained_in_one_line(tmp_path, read):
    text, foreign, folder = tmp_path / "t.h5", tmp_path / "f.h5", tmp_path
    text.write_text("no HDF5 file")
    with h5py.File(foreign, "w") as file:
        file["something"] = 1
    for path in (tmp_path / "none.h5", text, foreign, folder):
        with pytest.raises(UserError, match=r"expected|readable") as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_surface_of_another_shape_than_its_axes_is_refused(tmp_path):
    path = write_as_the_2018_tool_does(tmp_path / "s.h5", ALPHA, BETA, height, height)
    with h5py.File(path, "a") as file:
        del file["train_acc"]
        file["train_acc"] = np.zeros((5, 3))
    with pytest.raises(UserError, match=r"expected .* of shape \(3, 5\)"):
        read_2018_surface(path)


def test_file_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match="cannot be written"):
        write_2018_surface(rich_surface(3, 5), tmp_path / "file" / "s.h5")


def test_missing_folder_is_made(tmp_path):
    write_2018_surface(rich_surface(3, 5), tmp_path / "new" / "s.h5")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["s.h5"]


def test_eigenvalues_of_the_2018_tool_are_read_and_written_with_their_own_fill(tmp_path):
    low, high = np.arange(15.0).reshape(3, 5), np.arange(15.0).reshape(3, 5) + 100
    low[0, 2], high[0, 2] = 1.0, -1.0  # flat place 2: alpha index 2, beta index 0
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["xcoordinates"], file["ycoordinates"] = ALPHA, BETA
        file["min_eig"], file["max_eig"] = low, high
    surface = read_2018_surface(tmp_path / "s.h5")
    assert np.argwhere(surface.status == 0).tolist() == [[2, 0]]
    assert surface.values["train/min_eigenvalue_batch_sum"][1, 0] == 1.0  # a value, high is 101
    assert surface.values["train/max_eigenvalue_batch_sum"][0, 4] == 112.0
    write_2018_surface(surface, tmp_path / "again.h5")
    with h5py.File(tmp_path / "again.h5", "r") as file:
        assert file["min_eig"][()].tolist() == low.tolist()
        assert file["max_eig"][()].tolist() == high.tolist()
