"""The released networks of their authors: counts, loading, training images."""

import pickle
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from losscape_mpi.errors import UserError
from losscape_mpi.problem.checkpoint import load_into, read_state
from losscape_mpi.problem.zoo.registry import build

CIFAR = (3, 32, 32)
PAPER = ([125.3, 123.0, 113.9], [63.0, 62.1, 66.7])
IMAGENET = ([0.485 * 255, 0.456 * 255, 0.406 * 255], [0.229 * 255, 0.224 * 255, 0.225 * 255])


@pytest.fixture(scope="module")
def first_images(shared):
    with (shared / "data/cifar-10-batches-py/data_batch_1").open("rb") as file:
        batch = pickle.load(file, encoding="bytes")
    images = torch.from_numpy(batch[b"data"][:64].reshape(64, 3, 32, 32)).float()
    return images, torch.tensor(batch[b"labels"][:64])


GENUINE = [  # name, file, parameters, 1-D ones, tensors, filters
    ("resnet56", "resnet56.t7", 855_770, 4_266, 173, 2_138),
    ("resnet56_noshort", "resnet56_noshort.t7", 853_018, 4_074, 167, 2_042),
    ("resnet20_a", "resnet20_optionA.th", 269_722, 1_386, 59, 698),
]


@pytest.mark.parametrize(("name", "file", "total", "flat", "tensors", "filters"), GENUINE)
def test_genuine_checkpoint_has_the_published_counts_and_loads(
    shared, name, file, total, flat, tensors, filters
):
    path: Path = shared / "data" / "checkpoints" / file
    state, model = read_state(path), build(name, CIFAR, 10)
    load_into(model, state, path)
    parameters = dict(model.named_parameters())
    assert list(parameters) == [n for n in state if "running" not in n]
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in state.items())
    assert len(parameters) == tensors
    assert sum(p.numel() for p in parameters.values()) == total
    assert sum(p.numel() for p in parameters.values() if p.ndim == 1) == flat
    assert sum(len(p) for p in parameters.values() if p.ndim > 1) == filters


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file", "constants", "least_correct", "most_loss"),
    [
        ("resnet56", "resnet56.t7", PAPER, 64, 0.05),
        ("resnet56_noshort", "resnet56_noshort.t7", PAPER, 58, 0.4),
        ("resnet20_a", "resnet20_optionA.th", IMAGENET, 63, 0.05),
    ],
)
def test_genuine_network_knows_its_training_images(
    shared, first_images, name, file, constants, least_correct, most_loss
):
    path: Path = shared / "data" / "checkpoints" / file
    model = build(name, CIFAR, 10)
    load_into(model, read_state(path), path)
    images, labels = first_images
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in constants)
    with torch.no_grad():
        logits = model.eval()((images - mean) / std)
    assert (logits.argmax(1) == labels).sum() >= least_correct
    assert F.cross_entropy(logits, labels).item() < most_loss


@pytest.mark.parametrize(
    ("name", "file"), [("resnet56_noshort", "resnet56.t7"), ("resnet56", "resnet20_optionA.th")]
)
def test_genuine_checkpoint_is_refused_by_another_network(shared, name, file):
    path: Path = shared / "data" / "checkpoints" / file
    with pytest.raises(UserError, match="does not fit CifarResNet"):
        load_into(build(name, CIFAR, 10), read_state(path), path)
