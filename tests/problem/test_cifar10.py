"""CIFAR-10 batch files: both official formats, genuine images, and files that are none."""

import os
import pickle

import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.problem.data.cifar10 import MEAN, STD
from losscape_mpi.problem.data.cifar10 import read as read_cifar10
from losscape_mpi.study.config import DataConfig

NUM_IMAGES = 7


def config(root):
    return DataConfig(name="cifar10", root=root)


def drawn_batch(seed, num_images=NUM_IMAGES):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (num_images, 3072), dtype=np.uint8)
    return pixels, rng.integers(0, 10, num_images).tolist()


def python_2_pickle(pixels, labels):
    """The bytes that Python 2 and numpy wrote, opcode by opcode: byte strings everywhere."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    def number(value):
        return b"J" + value.to_bytes(4, "little", signed=True)

    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    minus_one = number(-1)
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
    dtype += b"(K\x03U\x01|NNN" + minus_one + minus_one + b"K\x00tb"
    raw = b"T" + len(pixels.tobytes()).to_bytes(4, "little") + pixels.tobytes()
    state = b"(K\x01" + number(len(pixels)) + number(3072) + b"\x86" + dtype + b"\x89" + raw + b"tb"
    listed = b"](" + b"".join(number(label) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"labels") + listed + text(b"data") + array + state + b"u."


def write_python_batches(root, protocol=2):
    root.mkdir(exist_ok=True)
    for seed, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        pixels, labels = drawn_batch(seed)
        if protocol is None:
            (root / name).write_bytes(python_2_pickle(pixels, labels))
        else:
            (root / name).write_bytes(pickle.dumps({"data": pixels, "labels": labels}, protocol))
    return root


def write_binary_batches(root, num_images=NUM_IMAGES):
    root.mkdir()
    for seed, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        pixels, labels = drawn_batch(seed, num_images)
        records = np.column_stack([np.array(labels, dtype=np.uint8), pixels])
        records.tofile(root / f"{name}.bin")
    return root


@pytest.mark.parametrize("protocol", [None, 2, 4, 5])
def test_python_batches_of_python_2_and_3_hold_the_pixels_in_order(tmp_path, protocol):
    root = write_python_batches(tmp_path / "batches", protocol)

    train = read_cifar10(config(root), "train")

    want = np.concatenate([drawn_batch(seed)[0] for seed in range(5)])
    assert train.inputs.shape == (35, 3, 32, 32)
    # Red, then green, then blue, each row by row: the layout of the data set's home page.
    assert train.inputs[9, 1, 2, 3] == want[9, 1024 + 2 * 32 + 3]
    labels = [label for seed in range(5) for label in drawn_batch(seed)[1]]
    assert train.targets.tolist() == labels


def test_binary_batches_give_the_samples_of_the_python_batches(tmp_path):
    from_binary = read_cifar10(config(write_binary_batches(tmp_path / "bin")), "train")
    from_python = read_cifar10(config(write_python_batches(tmp_path / "py")), "train")

    np.testing.assert_array_equal(from_binary.inputs, from_python.inputs)
    np.testing.assert_array_equal(from_binary.targets, from_python.targets)


@pytest.mark.parametrize("folder", ["cifar-10-batches-py", "cifar-10-batches-bin"])
def test_a_root_one_level_too_high_is_accepted(tmp_path, folder):
    write = write_python_batches if folder.endswith("py") else write_binary_batches
    write(tmp_path / folder)

    assert len(read_cifar10(config(tmp_path), "test").inputs) == NUM_IMAGES


def test_only_the_split_asked_for_is_read(tmp_path):
    root = write_python_batches(tmp_path / "batches")
    (root / "test_batch").write_text("not a batch")

    assert len(read_cifar10(config(root), "train").inputs) == 5 * NUM_IMAGES


def test_genuine_images_have_their_known_count_and_channel_means(shared):
    root = shared / "data" / "cifar-10-batches-py"

    train, test = (read_cifar10(config(root), split) for split in ("train", "test"))

    assert (len(train.inputs), len(test.inputs)) == (5085, 1017)
    means = train.inputs.mean(axis=(0, 2, 3), dtype=np.float64)
    np.testing.assert_allclose(means, [125.87, 123.57, 114.31], atol=0.01)
    counts = np.bincount(train.targets)
    assert (counts.min(), counts.max()) == (475, 537)


def test_constants_are_those_of_the_2018_code():
    np.testing.assert_allclose(np.multiply(MEAN, 255), [125.3, 123.0, 113.9])
    np.testing.assert_allclose(np.multiply(STD, 255), [63.0, 62.1, 66.7])


@pytest.mark.slow
def test_a_split_of_the_full_size_is_read_whole(tmp_path):
    root = write_binary_batches(tmp_path / "bin", num_images=10_000)

    train = read_cifar10(config(root), "train")

    assert train.inputs.shape == (50_000, 3, 32, 32)


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_a_hostile_pickle_is_refused_and_does_not_run(tmp_path):
    root, marker = write_python_batches(tmp_path / "batches"), tmp_path / "marker"
    pixels, labels = drawn_batch(0)
    hostile = pickle.dumps({"data": pixels, "labels": labels, "x": Hostile(marker)}, 2)
    (root / "data_batch_1").write_bytes(hostile)

    with pytest.raises(UserError, match=r"data_batch_1 is not a CIFAR batch: .*\.mkdir"):
        read_cifar10(config(root), "train")
    assert not marker.exists()
    pickle.loads(hostile)
    assert marker.exists()  # the stream is hostile indeed


GOOD, LABELS = drawn_batch(0)
FOREIGN = {
    "text": (b"hello, these are my images\n", "expected a pickled dictionary"),
    "empty": (b"", "Ran out of input"),
    "truncated": (pickle.dumps({"data": GOOD, "labels": LABELS}, 2)[:5000], "pickle"),
    "list": (pickle.dumps([1, 2]), "found a list"),
    "keys": (pickle.dumps({b"data": GOOD, b"fine_labels": LABELS}, 2), "data, fine_labels"),
    "no array": (pickle.dumps({"data": [1], "labels": [1]}), "type list"),
    "dtype": (pickle.dumps({"data": GOOD.astype(float), "labels": LABELS}), "found data float64"),
    "shape": (pickle.dumps({"data": GOOD[:, 1:], "labels": LABELS}), r"shape \(7, 3071\)"),
    "no images": (pickle.dumps({"data": GOOD[:0], "labels": []}), r"shape \(0, 3072\)"),
    "few labels": (pickle.dumps({"data": GOOD, "labels": LABELS[1:]}), "not 7 integers"),
    "text labels": (pickle.dumps({"data": GOOD, "labels": ["cat"] * 7}), "not 7 integers"),
    "label 10": (pickle.dumps({"data": GOOD, "labels": [10] * 7}), "labels 10..10"),
    "label -1": (pickle.dumps({"data": GOOD, "labels": np.full(7, -1)}), "labels -1..-1"),
    "huge label": (pickle.dumps({"data": GOOD, "labels": [10**30] * 7}), "expected 0..9"),
    "codec": (
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
        "codec rot13",
    ),
    "eval": (b"cbuiltins\neval\n(X\x01\x00\x00\x001tR.", "builtins.eval"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_that_is_no_batch_is_named_in_one_line(tmp_path, kind):
    root = write_python_batches(tmp_path / "batches")
    content, reason = FOREIGN[kind]
    (root / "test_batch").write_bytes(content)

    with pytest.raises(UserError, match=f"test_batch is not a CIFAR batch: .*{reason}") as caught:
        read_cifar10(config(root), "test")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "0 bytes"), (bytes(3072), "3072 bytes"), (b"\x0a" + bytes(3072), "labels 10..10")],
)
def test_a_binary_file_that_is_no_batch_is_named(tmp_path, content, reason):
    root = write_binary_batches(tmp_path / "bin")
    (root / "test_batch.bin").write_bytes(content)

    with pytest.raises(UserError, match=rf"test_batch\.bin is not a CIFAR batch: .*{reason}"):
        read_cifar10(config(root), "test")


def test_a_missing_batch_file_is_named(tmp_path):
    root = write_python_batches(tmp_path / "batches")
    (root / "data_batch_3").unlink()

    with pytest.raises(UserError, match="lacks data_batch_3: download"):
        read_cifar10(config(root), "train")


@pytest.mark.parametrize("folder", [None, "missing", "."])
def test_without_batch_files_the_message_says_what_to_download_and_where_to_put_it(
    tmp_path, folder
):
    root = None if folder is None else tmp_path / folder

    with pytest.raises(UserError) as caught:
        read_cifar10(config(root), "train")

    for part in ("cifar-10-python.tar.gz", "cs.toronto.edu/~kriz/cifar.html", "problem.data.root"):
        assert part in str(caught.value)


@pytest.mark.parametrize("root", [".", "cifar-10-python.tar.gz"])
def test_a_packed_archive_is_to_be_unpacked(tmp_path, root):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"")

    with pytest.raises(UserError, match="still packed: unpack it with 'tar -xzf cifar-10-python"):
        read_cifar10(config(tmp_path / root), "train")
