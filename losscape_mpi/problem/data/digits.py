"""The handwritten digits that ship with scikit-learn: a data set that needs no download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from losscape_mpi.problem.data.split import RawSplit
from losscape_mpi.study.config import DataConfig

# Mean and deviation of all pixels (0..16) of the training split, computed in float64.
MEAN = (4.892906815020862,)
STD = (6.023076646906915,)
NUM_CLASSES = 10
TEST_EVERY = 5  # samples 4, 9, 14, ... are the test split


def read(config: DataConfig, split: str) -> RawSplit:  # noqa: ARG001
    """Return a whole split of the digits: images (m, 1, 8, 8) of 0..16 and labels (m,).

    scikit-learn's load_digits: 1,797 images of the test set of E. Alpaydin and C. Kaynak, 1998,
    "Optical recognition of handwritten digits", UCI. Every fifth sample is a test sample.

    Args:
        config: Not used; the data set has no settings.
        split: train (1,438 samples) or test (359 samples).
    """
    images, labels = _load()
    is_test = np.arange(len(images)) % TEST_EVERY == TEST_EVERY - 1
    taken = is_test if split == "test" else ~is_test
    pixels = images[taken].astype(np.float32).reshape(-1, 1, 8, 8)
    return RawSplit(pixels, labels[taken].astype(np.int64), NUM_CLASSES, MEAN, STD)


def _load() -> tuple[np.ndarray, np.ndarray]:
    """Return all images, shape (1797, 64), and labels, shape (1797,), as load_digits does."""
    # Read beside scikit-learn, not by it: importing it takes a second, in every process of a run.
    package = find_spec("sklearn")
    if package is not None and package.origin is not None:
        file = Path(package.origin).with_name("datasets") / "data" / "digits.csv.gz"
        if file.is_file():
            table = np.loadtxt(file, delimiter=",")  # (1797, 65), the label last
            return table[:, :-1], table[:, -1]
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images, labels
