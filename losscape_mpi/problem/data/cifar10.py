"""CIFAR-10 from its official python or binary batch files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.problem.data.split import RawSplit
from losscape_mpi.study.config import DataConfig

# Constants of the code of Li et al. 2018, used for training and test images alike.
MEAN = (125.3 / 255, 123.0 / 255, 113.9 / 255)
STD = (63.0 / 255, 62.1 / 255, 66.7 / 255)
NUM_CLASSES = 10
IMAGE_SHAPE = (3, 32, 32)
PIXELS = 3072  # 3 * 32 * 32, one byte each

HOME_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")
FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin")  # what the archives unpack to
BATCHES = {"train": [f"data_batch_{k}" for k in range(1, 6)], "test": ["test_batch"]}

_ARRAY_PARTS = {
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, name in (("multiarray", "_reconstruct"), ("numeric", "_frombuffer"))
} | {("numpy", "ndarray"), ("numpy", "dtype")}


def read(config: DataConfig, split: str) -> RawSplit:
    """Return a whole split of CIFAR-10: images (m, 3, 32, 32) uint8 and labels (m,).

    Krizhevsky 2009, "Learning multiple layers of features from tiny images". The number of
    images in a batch file is whatever the file holds.

    Args:
        config: root is the folder of the batch files, or the one above it.
        split: train (data_batch_1..5, in order) or test (test_batch).

    Raises:
        UserError: If root has no batch files, one is missing, or one is not a CIFAR-10 batch.
    """
    batches = [_read_batch(path) for path in _batch_files(config.root, split)]
    images = np.concatenate([pixels for pixels, _ in batches])  # (m, 3072)
    labels = np.concatenate([labels for _, labels in batches])  # (m,)
    return RawSplit(images.reshape(-1, *IMAGE_SHAPE), labels, NUM_CLASSES, MEAN, STD)


def _batch_files(root: Path | None, split: str) -> list[Path]:
    """Return the batch files of a split, in order; the python format is preferred."""
    if root is None:
        raise UserError(f"data cifar10 needs problem.data.root, found null: {_remedy()}")
    every_name = [name for names in BATCHES.values() for name in names]
    for folder in (root, *(root / name for name in FOLDERS)):
        for suffix in ("", ".bin"):
            if any((folder / f"{name}{suffix}").is_file() for name in every_name):
                return _complete([folder / f"{name}{suffix}" for name in BATCHES[split]])
    packed = [name for name in ARCHIVES if (root / name).is_file()]
    if packed or root.name in ARCHIVES:
        folder, name = (root, packed[0]) if packed else (root.parent, root.name)
        raise UserError(
            f"{folder / name} is still packed: unpack it with 'tar -xzf {name}' "
            f"and set problem.data.root to the folder of its batch files"
        )
    found = "has no CIFAR-10 batch files" if root.is_dir() else "is not a folder"
    raise UserError(f"{root} {found}: {_remedy()}")


def _complete(paths: list[Path]) -> list[Path]:
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise UserError(f"{paths[0].parent} lacks {', '.join(missing)}: {_remedy()}")
    return paths


def _remedy() -> str:
    return (
        f"download the CIFAR-10 python version {ARCHIVES[0]} from {HOME_PAGE}, unpack it and "
        f"set problem.data.root to its folder {FOLDERS[0]}"
    )


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (n, 3072) uint8 and the labels (n,) int64 of one batch file."""
    try:
        pixels, labels = _read_binary(path) if path.suffix == ".bin" else _read_python(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if labels.min() < 0 or labels.max() >= NUM_CLASSES:
        raise _foreign(path, f"found labels {labels.min()}..{labels.max()}, expected 0..9")
    return pixels, labels.astype(np.int64)


def _read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    content = np.fromfile(path, dtype=np.uint8)
    if content.size == 0 or content.size % (PIXELS + 1):
        raise _foreign(path, f"found {content.size} bytes, expected records of {PIXELS + 1} bytes")
    records = content.reshape(-1, PIXELS + 1)  # (n, label and pixels)
    return records[:, 1:], records[:, 0]


def _read_python(path: Path) -> tuple[np.ndarray, np.ndarray]:
    batch = _unpickle(path)
    if not isinstance(batch, dict):
        raise _foreign(path, f"found a {type(batch).__name__}, expected a dictionary")
    # Python 2 wrote the keys as byte strings.
    fields = {key.decode("latin1") if isinstance(key, bytes) else key: batch[key] for key in batch}
    if not {"data", "labels"} <= fields.keys():
        names = ", ".join(sorted(map(str, fields)))
        raise _foreign(path, f"found the keys {names}, expected data and labels")
    return _check_pixels(path, fields["data"]), _check_labels(path, fields)


def _check_pixels(path: Path, pixels: Any) -> np.ndarray:
    if not isinstance(pixels, np.ndarray):
        raise _foreign(path, f"found data of type {type(pixels).__name__}, expected an array")
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (PIXELS,) or not pixels.size:
        found = f"{pixels.dtype} of shape {pixels.shape}"
        raise _foreign(path, f"found data {found}, expected uint8 of shape (n, {PIXELS})")
    return pixels


def _check_labels(path: Path, fields: dict[str, Any]) -> np.ndarray:
    labels, num_images = fields["labels"], len(fields["data"])
    integers = isinstance(labels, list) and all(type(label) is int for label in labels)
    if isinstance(labels, np.ndarray):
        integers = np.issubdtype(labels.dtype, np.integer)
    if not integers or np.shape(labels) != (num_images,):
        raise _foreign(path, f"its labels are not {num_images} integers, one for each image")
    return np.asarray(labels)


def _unpickle(path: Path) -> Any:
    with path.open("rb") as file:
        try:
            return _ArrayUnpickler(file, encoding="bytes").load()
        except OSError:
            raise
        except Exception as error:  # a foreign stream can raise anything
            reason = f"{first_line(error)}; expected a pickled dictionary of arrays"
            raise _foreign(path, reason) from error


class _ArrayUnpickler(pickle.Unpickler):
    """Reads plain containers and numpy arrays; every other class or function is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ARRAY_PARTS:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return _encode_latin1
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Return the bytes that Python 3 wrote as text, its only use of _codecs.encode."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {encoding}")
    return text.encode("latin1")


def _foreign(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is not a CIFAR batch: {reason}")
