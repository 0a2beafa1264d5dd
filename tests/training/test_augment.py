"""Crops and flips against loops over single images."""

import numpy as np
import pytest
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.problem.data import cifar10
from losscape_mpi.study.config import DataConfig
from losscape_mpi.training.augment import augment, black_of
from losscape_mpi.training.sections import AugmentConfig

BLACK = torch.tensor([-1.5, 0.25, -3.0]).reshape(1, 3, 1, 1)


def numbered(batch=200, height=5, width=7):
    """Images of which no two pixels are equal."""
    count = batch * 3 * height * width
    return torch.arange(count, dtype=torch.float32).reshape(batch, 3, height, width)


def changed(images, seed=0, **settings):
    draws = torch.Generator().manual_seed(seed)
    return augment(images, AugmentConfig(**settings), BLACK, draws)


def places_of(image, original, border):
    """All (row, column, flipped) at which a crop of the padded original is this image."""
    _, height, width = original.shape
    padded = np.empty((3, height + 2 * border, width + 2 * border), np.float32)
    padded[:] = BLACK.numpy().reshape(3, 1, 1)
    padded[:, border : border + height, border : border + width] = original
    found = []
    for row in range(2 * border + 1):
        for column in range(2 * border + 1):
            crop = padded[:, row : row + height, column : column + width]
            found += [(row, column, False)] if np.array_equal(crop, image) else []
            found += [(row, column, True)] if np.array_equal(crop[:, :, ::-1], image) else []
    return found


def test_each_image_is_one_crop_of_its_own_padded_image_and_all_places_occur():
    images = numbered()
    places = [
        places_of(image, original, 2)
        for image, original in zip(
            changed(images, crop=2, flip=True).numpy(), images.numpy(), strict=True
        )
    ]

    assert all(len(place) == 1 for place in places)
    rows, columns, flips = zip(*(place[0] for place in places), strict=True)
    assert set(rows) == set(columns) == set(range(5))
    assert len(set(zip(rows, columns, strict=True))) == 25  # the two are drawn independently
    assert 70 < sum(flips) < 130  # 100 expected, standard deviation 7


def test_flip_alone_mirrors_and_crop_alone_does_not():
    images = numbered(batch=40)
    flipped = changed(images, flip=True)
    is_mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    is_same = (flipped == images).flatten(1).all(1)
    assert (is_mirrored ^ is_same).all()
    assert is_mirrored.any()
    assert is_same.any()
    cropped = changed(images, crop=2)
    assert not any(
        place[2]
        for image, original in zip(cropped.numpy(), images.numpy(), strict=True)
        for place in places_of(image, original, 2)
    )


def test_equal_seeds_draw_equal_changes_and_the_given_images_stay():
    images = numbered(batch=20)
    given = images.clone()

    first, again = (changed(images, seed=3, crop=1, flip=True) for _ in range(2))

    assert torch.equal(first, again)
    assert not torch.equal(first, changed(images, seed=4, crop=1, flip=True))
    assert torch.equal(images, given)
    assert first.is_contiguous()


def test_black_is_a_pixel_of_zero_after_normalization():
    images = torch.zeros(2, 3, 32, 32)
    own = black_of(DataConfig(name="cifar10"), images).flatten()
    given = black_of(DataConfig(name="cifar10", mean=[0.5] * 3, std=[0.2, 0.25, 0.5]), images)

    want = -np.array(cifar10.MEAN) / np.array(cifar10.STD)
    np.testing.assert_allclose(own, want, rtol=1e-6)
    np.testing.assert_allclose(given.flatten(), [-2.5, -2, -1], rtol=1e-6)


def test_data_without_constants_has_a_black_of_zero():
    assert black_of(DataConfig(name="mine:data"), torch.ones(2, 4, 8, 8)).tolist() == [
        [[[0.0]]] * 4
    ]


def test_samples_that_are_no_images_are_refused():
    with pytest.raises(UserError, match=r"samples of shape \(2,\), expected images"):
        black_of(DataConfig(name="spirals"), torch.zeros(5, 2))
