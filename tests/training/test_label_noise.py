"""Wrong labels: how many, which, and that they are what the network learns."""

import hashlib

import numpy as np
import pytest
import torch
from small_recipes import recipe, trained

from losscape_mpi.errors import UserError
from losscape_mpi.problem.build import build_problem
from losscape_mpi.problem.data.split import Split
from losscape_mpi.training.label_noise import labels_sha256, wrong_labels
from losscape_mpi.training.sections import LabelNoiseConfig


def labelled(count=3000, classes=3):
    labels = torch.arange(count) % classes
    return Split(torch.zeros(count, 2), labels, "", count, classes)


def noise(fraction, seed=0):
    return LabelNoiseConfig(fraction=fraction, seed=seed)


@pytest.mark.parametrize(("fraction", "count"), [(0.2, 600), (1.0, 3000), (0.0001, 0)])
def test_exactly_the_share_of_labels_is_wrong(fraction, count):
    split = labelled()
    before = split.targets.clone()

    noisy = wrong_labels(split, noise(fraction))

    assert (noisy != split.targets).sum() == count
    assert (noisy.min(), noisy.max()) == (0, 2)
    assert torch.equal(split.targets, before)


def test_wrong_labels_are_spread_over_samples_and_the_other_classes():
    split = labelled(count=10_000, classes=5)

    noisy = wrong_labels(split, noise(0.5))

    is_wrong = noisy != split.targets
    halves = is_wrong.reshape(2, 5000).sum(1)
    assert abs(halves[0] - 2500) < 150  # hypergeometric, standard deviation 25
    shifts = np.bincount(((noisy - split.targets) % 5)[is_wrong], minlength=5)
    assert shifts[0] == 0
    assert np.abs(shifts[1:] - 1250).max() < 130  # binomial, standard deviation 31


def test_another_seed_chooses_others_and_the_same_one_the_same():
    split = labelled()
    draws = [wrong_labels(split, noise(0.3, seed)) for seed in (0, 0, 1)]

    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_the_training_learns_the_wrong_labels_and_is_tested_on_the_right_ones():
    config = recipe(label_noise={"fraction": 0.4, "seed": 3})
    clean = build_problem(config.problem).splits

    splits = trained(config).problem.splits

    want = wrong_labels(clean["train"], config.label_noise)
    assert torch.equal(splits["train"].targets, want)
    assert torch.equal(splits["test"].targets, clean["test"].targets)
    assert labels_sha256(want) == hashlib.sha256(want.numpy().tobytes()).hexdigest()


def test_targets_that_are_no_labels_are_refused():
    split = Split(torch.zeros(4, 1), torch.zeros(4), "", 4, None)
    with pytest.raises(UserError, match="label_noise: found floating targets"):
        wrong_labels(split, noise(0.5))
