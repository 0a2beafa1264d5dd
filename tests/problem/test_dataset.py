"""Splits: subsets, normalization, hashes, and the user's own data."""

import hashlib
import importlib
import json
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from losscape_mpi.errors import UserError
from losscape_mpi.problem import data
from losscape_mpi.problem.data.load import load_splits, own_constants
from losscape_mpi.problem.data.split import RawSplit, TooFewSamplesError, normalize
from losscape_mpi.study.config import DataConfig
from losscape_mpi.study.data_sets import DATA_SETS, DataSet

CIFAR_MEAN, CIFAR_STD = [125.3, 123.0, 113.9], [63.0, 62.1, 66.7]


def load(name, **settings):
    return load_splits(DataConfig(name=name, **settings))


def cifar(shared, **settings):
    return load("cifar10", root=shared / "data" / "cifar-10-batches-py", **settings)


@pytest.fixture
def user_data(tmp_path, monkeypatch):
    """Writes the body of a function data(split, **args) and gives its spec."""
    monkeypatch.chdir(tmp_path)
    count = iter(range(100))

    def write(body, arguments="split"):
        name = f"user_data_{abs(hash(tmp_path))}_{next(count)}"
        code = f"import numpy as np\nimport torch\n\ndef data({arguments}):\n    {body}\n"
        (tmp_path / f"{name}.py").write_text(code)
        return f"{name}:data"

    return write


def test_digits_splits_are_disjoint_and_cover_scikit_learns_digits_in_order():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    splits = load("digits", splits=["train", "test"], mean=[0.0], std=[1.0])

    assert list(splits) == ["train", "test"]
    for split, taken in (("train", [0, 1, 2, 3]), ("test", [4])):
        rows = [k for k in range(1797) if k % 5 in taken]
        np.testing.assert_array_equal(splits[split].inputs.reshape(-1, 64), images[rows])
        np.testing.assert_array_equal(splits[split].targets, labels[rows])
        assert splits[split].available == len(rows)
    assert splits["test"].num_classes == 10


def test_digits_are_found_where_scikit_learn_keeps_them_elsewhere(monkeypatch):
    expected = load("digits")["train"].inputs
    monkeypatch.setattr("losscape_mpi.problem.data.digits.find_spec", lambda _name: None)

    assert torch.equal(load("digits")["train"].inputs, expected)


def test_digits_are_normalized_by_the_constants_of_their_training_split():
    train = load("digits")["train"].inputs

    assert train.shape == (1438, 1, 8, 8)
    assert train.dtype == torch.float32
    assert abs(train.double().mean().item()) < 1e-7
    assert train.double().std(correction=0).item() == pytest.approx(1, abs=1e-7)


def test_genuine_cifar_is_scaled_and_normalized_per_channel(shared):
    train = cifar(shared, splits=["train"])["train"]

    assert (train.inputs.shape, train.available) == ((5085, 3, 32, 32), 5085)
    means = (np.array([125.87, 123.57, 114.31]) - CIFAR_MEAN) / CIFAR_STD
    np.testing.assert_allclose(train.inputs.mean(dim=(0, 2, 3)), means, atol=2e-4)
    assert train.inputs.is_contiguous()


def test_normalized_values_are_those_of_torch_arithmetic(shared):
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    raw = cifar(shared, splits=["test"], samples=3, order="first", mean=[0.0], std=[1.0])
    own = cifar(shared, splits=["test"], samples=3, order="first", mean=mean, std=std)

    column = [torch.tensor(values)[:, None, None] for values in (mean, std)]
    assert torch.equal(own["test"].inputs, (raw["test"].inputs - column[0]) / column[1])


def test_order_first_takes_the_first_in_file_order():
    some, every = load("digits", samples=5, order="first")["train"], load("digits")["train"]

    assert torch.equal(some.inputs, every.inputs[:5])
    assert torch.equal(some.targets, every.targets[:5])
    assert (len(some.inputs), some.available) == (5, 1438)


def drawn(spec, split="train", **settings):
    """The indices taken of a data set whose samples are their own indices."""
    return load(spec, splits=[split], **settings)[split].inputs[:, 0].int().tolist()


def test_random_subset_is_drawn_without_replacement_and_kept_in_file_order(user_data):
    spec = user_data("return np.arange(900.0)[:, None], np.zeros(900)")

    found = drawn(spec, samples=450)

    assert found == sorted(set(found))
    assert len(found) == 450
    # Half of 900: the mean index of an even draw has a standard error of 8.7.
    assert abs(np.mean(found) - 449.5) < 40


def test_random_subset_depends_on_the_seed_and_the_split_and_repeats(user_data):
    spec = user_data("return np.arange(900.0)[:, None], np.zeros(900)")

    draws = [drawn(spec, split, samples=50, seed=k) for split in ("train", "test") for k in (0, 1)]

    assert drawn(spec, "test", samples=50, seed=1) == draws[3]
    assert len({tuple(draw) for draw in draws}) == 4


def test_random_subset_stays_the_same_in_every_version():
    chosen = load("digits", samples=4, seed=7, mean=[0.0], std=[1.0])["train"]
    keys = np.random.PCG64(np.random.SeedSequence([7, 0x747261696E])).random_raw(1438)

    every = load("digits", mean=[0.0], std=[1.0])["train"]
    smallest = sorted(range(1438), key=lambda k: keys[k])[:4]
    assert torch.equal(chosen.inputs, every.inputs[sorted(smallest)])


def test_a_subset_of_all_samples_is_the_split_in_either_order():
    every = load("digits")["train"]
    for order in ("first", "random"):
        some = load("digits", samples=1438, order=order)["train"]
        assert torch.equal(some.inputs, every.inputs)
        assert some.sha256 == every.sha256


def test_more_samples_than_the_split_has_are_refused():
    message = "has 359 test samples, found samples: 360"
    with pytest.raises(TooFewSamplesError, match=message) as caught:
        load("digits", splits=["train", "test"], samples=360)
    assert caught.value.available == 359


def test_hash_is_of_the_raw_samples_and_labels_taken(user_data):
    spec = user_data("return np.arange(12, dtype=np.uint8).reshape(3, 4), np.array([1, 0, 2])")
    split = load(spec, samples=2, order="first", mean=[0.5], std=[0.1])["train"]

    want = hashlib.sha256()
    for array in (np.arange(8, dtype=np.uint8).reshape(2, 4), np.array([1, 0])):
        want.update(json.dumps([array.dtype.str, list(array.shape)]).encode() + array.tobytes())
    assert split.sha256 == want.hexdigest()
    assert split.sha256 == load(spec, samples=2, order="first")["train"].sha256


@pytest.mark.parametrize(
    "body",
    [
        "return np.zeros((3, 2)), np.array([0, 1, 1])",
        "return np.zeros((3, 2), dtype=np.float32), np.array([0, 1, 2])",
        "return np.zeros((2, 3)), np.array([0, 1])",
        "x = np.zeros((3, 2)); x[2, 1] = 1e-300; return x, np.array([0, 1, 2])",
    ],
)
def test_hash_changes_with_any_sample_label_shape_or_type(user_data, body):
    original = user_data("return np.zeros((3, 2)), np.array([0, 1, 2])")

    assert load(user_data(body))["train"].sha256 != load(original)["train"].sha256


def test_byte_order_does_not_change_the_hash(user_data):
    little = user_data("return np.arange(6.0).reshape(3, 2), np.array([0, 1, 2])")
    big = user_data("return np.arange(6.0).reshape(3, 2).astype('>f8'), np.array([0, 1, 2])")

    assert load(big)["train"].sha256 == load(little)["train"].sha256


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"mean": [0.5, 0.5]}, "found 2 values of mean, expected 1"),
        ({"std": [1.0, 1.0, 1.0]}, "found 3 values of std, expected 1"),
        ({"args": {"a": 1}}, "digits takes no arguments"),
        ({"root": "somewhere"}, "digits takes no folder"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(settings, reason):
    with pytest.raises(UserError, match=reason):
        load("digits", **settings)


def test_an_unknown_data_set_is_answered_with_the_nearest_name():
    with pytest.raises(UserError, match=r"found data 'cifar', expected .* \(nearest: cifar10\)"):
        load("cifar")


def test_cifar_without_root_is_refused():
    with pytest.raises(UserError, match=r"needs problem\.data\.root"):
        load("cifar10")


@pytest.mark.parametrize(
    "body",
    [
        "return x, y",
        "return x.numpy(), y.numpy()",
        "return x.tolist(), y.tolist()",
        "return torch.utils.data.TensorDataset(x, y)",
        "return [(x[k], int(y[k])) for k in range(6)]",
    ],
)
def test_arrays_tensors_and_map_style_data_give_the_same_split(user_data, body):
    made = "x = torch.arange(24.0).reshape(6, 4); y = torch.tensor([0, 6, 2, 1, 1, 0]); "
    split = load(user_data(made + body))["train"]

    want = TensorDataset(torch.arange(24.0).reshape(6, 4), torch.tensor([0, 6, 2, 1, 1, 0]))
    assert torch.equal(split.inputs, want.tensors[0])
    assert torch.equal(split.targets, want.tensors[1])
    assert split.inputs.dtype == torch.float32
    assert (split.num_classes, split.available) == (7, 6)


def test_a_callable_gets_the_split_and_its_arguments(user_data):
    body = "return np.full((scale, 1), len(split)), np.zeros(scale)"
    splits = load(user_data(body, "split, scale"), splits=["test", "train"], args={"scale": 3})

    assert list(splits) == ["test", "train"]
    assert splits["train"].inputs.tolist() == [[5]] * 3
    assert splits["test"].inputs.tolist() == [[4]] * 3


def test_uint8_is_scaled_while_other_integers_stay_tokens(user_data):
    body = "return np.full((2, 3), 51, dtype=np.{}), np.zeros(2, dtype=int)"
    image = load(user_data(body.format("uint8")))["train"].inputs
    tokens = load(user_data(body.format("int32")))["train"].inputs

    assert torch.equal(image, torch.full((2, 3), 0.2))
    assert torch.equal(tokens, torch.full((2, 3), 51))
    with pytest.raises(UserError, match="integer inputs"):
        load(user_data(body.format("int32")), mean=[0.5])


@pytest.mark.parametrize(("kind", "kept"), [("float64", torch.float64), ("float16", torch.float32)])
def test_floating_targets_are_regression_targets(user_data, kind, kept):
    split = load(user_data(f"return np.zeros((4, 2)), np.ones((4, 3), dtype=np.{kind})"))["train"]

    assert split.num_classes is None
    assert split.targets.dtype == kept
    assert split.targets.shape == (4, 3)


def test_the_callers_arrays_are_not_changed(tmp_path, monkeypatch):
    code = "import numpy as np\nX = np.ones((2, 3), dtype=np.float32)\n"
    code += "def data(split):\n    return X, np.array([0.0, 1.0])\n"
    (tmp_path / "kept_arrays.py").write_text(code)
    monkeypatch.chdir(tmp_path)

    first = load("kept_arrays:data", mean=[3.0], std=[2.0])["train"]
    first.inputs.zero_()
    second = load("kept_arrays:data", mean=[3.0], std=[2.0])["train"]

    assert torch.equal(second.inputs, torch.full((2, 3), -1.0))


REFUSED = {
    "unequal": ("return np.zeros((3, 2)), np.zeros(2)", "3 inputs and 2 targets"),
    "empty": ("return np.zeros((0, 2)), np.zeros(0)", r"inputs of shape \(0, 2\)"),
    "scalar": ("return 1.0, 2.0", r"inputs of shape \(\)"),
    "object": ("return np.array([{}, {}]), np.zeros(2)", "inputs of type object"),
    "text": ("return np.zeros((2, 1)), ['cat', 'dog']", "targets of type <U3"),
    "complex": ("return np.zeros((2, 1), dtype=complex), np.zeros(2)", "inputs of type complex"),
    "ragged": ("return [[1, 2], [3]], np.zeros(2)", "no array"),
    "negative": ("return np.zeros((2, 1)), np.array([0, -1])", "the label -1"),
    "2-D labels": ("return np.zeros((2, 1)), np.zeros((2, 2), dtype=int)", r"shape \(2, 2\)"),
    "nothing": ("return None", "a NoneType"),
    "triple": ("return 1, 2, 3", "a tuple of length 3"),
    "mapping": ("return {0: 1}", "a dict"),
    "no pairs": ("return [(1, 2), 3]", "an item that is a int"),
    "two shapes": (
        "return [(np.zeros(2), 0), (np.zeros(3), 1)]",
        r"samples of shapes \(2,\) and \(3,\)",
    ),
    "no items": ("return []", r"inputs of shape \(0,\)"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_callable_that_returns_no_samples_is_named_with_what_it_returned(user_data, kind):
    body, reason = REFUSED[kind]
    spec = user_data(body)

    with pytest.raises(UserError, match=f"{spec} for split train returned .*{reason}") as caught:
        load(spec)
    assert "\n" not in str(caught.value)


def test_a_callable_that_does_not_take_the_arguments_is_refused(user_data):
    spec = user_data("return np.zeros((2, 1)), np.zeros(2)")

    with pytest.raises(
        UserError, match=r"cannot be called as .*unexpected keyword argument 'scale'"
    ):
        load(spec, args={"scale": 2})


def test_a_fault_inside_the_callable_keeps_its_own_exception(user_data):
    with pytest.raises(ZeroDivisionError):
        load(user_data("return 1 / 0"))


def test_every_data_set_of_the_table_has_its_module():
    for name in DATA_SETS:
        assert callable(importlib.import_module(f"{data.__name__}.{name}").read)


@pytest.fixture
def corners(monkeypatch):
    """A data set that is in no file: the corners of a square, each its own class."""

    def read(config, split):
        points = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]) * config.args.get("size", 1)
        return RawSplit(points + (split == "test"), np.arange(4), 4, mean=module.MEAN)

    module = ModuleType(f"{data.__name__}.corners")
    module.read, module.MEAN = read, (0.5,)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(DATA_SETS, "corners", DataSet(reads=("args",)))


def test_a_new_data_set_is_a_module_and_a_row(corners):
    splits = load("corners", splits=["train", "test"], args={"size": 3})
    assert splits["train"].inputs.tolist() == [[-0.5, -0.5], [-0.5, 2.5], [2.5, -0.5], [2.5, 2.5]]
    assert torch.equal(splits["test"].inputs, splits["train"].inputs + 1)
    assert splits["train"].num_classes == 4
    assert own_constants("corners") == ((0.5,), ())
    with pytest.raises(UserError, match=r"data corners takes no folder: expected .*root: null"):
        load("corners", root=".")
    with pytest.raises(UserError, match=r"expected cifar10, .*corners or .* \(nearest: corners\)"):
        load("corner", root=".")


def test_data_of_the_users_own_have_no_constants_of_theirs():
    assert own_constants("my_module:data") == ((), ())
    assert own_constants("spirals") == ((), ())


def test_a_folder_beside_a_callable_is_told_where_it_belongs():
    config = DataConfig(name="my_data:cifar100", root="data")
    with pytest.raises(UserError, match=r"put the folder there, as the argument .*root: FOLDER"):
        load_splits(config)


def test_images_of_sixteen_bits_are_not_taken_for_tokens():
    images = np.zeros((3, 1, 4, 4), dtype=np.uint16)
    with pytest.raises(UserError, match=r"found uint16 inputs of shape \(3, 1, 4, 4\), expected"):
        normalize(images, (), ())
    assert normalize(images[:, 0, 0], (), ()).dtype == torch.int64
