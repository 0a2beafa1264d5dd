"""The data set `npz`: arrays of a file that numpy wrote."""

import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.problem.data.load import load_splits
from losscape_mpi.study.config import DataConfig

IMAGES = np.arange(5 * 3 * 2 * 2, dtype="u1").reshape(5, 3, 2, 2)


def config(path, **more):
    return DataConfig(name="npz", root=path, **more)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data.npz"
    parts = {"train_inputs": IMAGES, "train_targets": np.array([0, 2, 1, 0, 2])}
    np.savez(path, **parts, test_inputs=np.ones((2, 3)), test_targets=np.array([0.5, 1.5]))
    return path


def test_images_are_scaled_and_labels_are_counted(file):
    split = load_splits(config(file))["train"]
    np.testing.assert_allclose(split.inputs.numpy(), IMAGES / 255, rtol=1e-6)
    assert split.targets.tolist() == [0, 2, 1, 0, 2]
    assert (split.num_classes, split.available) == (3, 5)


def test_floating_targets_are_regression(file):
    split = load_splits(config(file, splits=["test"]))["test"]
    assert split.num_classes is None
    assert split.targets.tolist() == [0.5, 1.5]


def test_another_file_has_another_hash(file, tmp_path):
    other = tmp_path / "other.npz"
    np.savez(other, train_inputs=IMAGES + 1, train_targets=np.array([0, 2, 1, 0, 2]))
    first, second = (load_splits(config(path))["train"].sha256 for path in (file, other))
    assert first != second


def test_what_is_missing_or_no_npz_file_is_said_in_one_line(tmp_path):
    path = tmp_path / "data.npz"
    with pytest.raises(UserError, match=r"found no file .*data\.npz, expected problem\.data\.root"):
        load_splits(config(path))
    np.savez(path, train_inputs=IMAGES)
    with pytest.raises(UserError, match="found train_inputs, expected train_targets too"):
        load_splits(config(path))
    path.write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(UserError, match="is no readable NPZ file"):
        load_splits(config(path))


def test_pickled_objects_are_refused(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, train_inputs=np.array([object()]), train_targets=np.array([1]))
    with pytest.raises(UserError, match="is no readable NPZ file"):
        load_splits(config(path))


def test_arrays_of_other_lengths_are_refused(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, train_inputs=IMAGES, train_targets=np.array([1]))
    with pytest.raises(UserError, match="5 inputs and 1 targets"):
        load_splits(config(path))
