import hashlib
import math

import numpy as np
import pytest
import torch

from losscape_mpi.geometry.gaussian import gaussian

# Pinned: a change here makes every stored seed mean another plane, and needs another ALGORITHM.
PINNED = [
    "0x1.b29a7c0000000p-1",
    "-0x1.0f70140000000p+0",
    "-0x1.0a0b8a0000000p+0",
    "0x1.6c43ee0000000p+0",
    "0x1.593cda0000000p+0",
    "0x1.ebb6280000000p-5",
]
LONG_SHA256 = "59f532341582168883f7c256075a0c884b685d87c7c97e7bb04f1a1f1eb3ad54"


def oracle(key_text, count):
    """Box and Muller with Python's own functions on Philox's words."""
    digest = hashlib.sha256(key_text.encode()).digest()
    key = int.from_bytes(digest[:16], "little")
    words = np.random.Philox(key=key).random_raw(count + count % 2)
    numbers = []
    for first, second in zip(words[0::2], words[1::2], strict=True):
        radius = math.sqrt(-2 * math.log(((int(first) >> 11) + 1) / 2**53))
        angle = 2 * math.pi * ((int(second) >> 11) / 2**53)
        numbers += [radius * math.cos(angle), radius * math.sin(angle)]
    return np.array(numbers[:count])


def test_some_draws_are_pinned():
    drawn = gaussian(0, "alpha", "conv1.weight", (2, 3))
    assert drawn.dtype == np.float32
    assert [float(value).hex() for value in drawn.ravel()] == PINNED


def test_a_long_draw_is_pinned_by_its_hash():
    drawn = gaussian(7, "beta", "layer.weight", (100_001,)).astype("<f4")
    assert hashlib.sha256(drawn.tobytes()).hexdigest() == LONG_SHA256


@pytest.mark.parametrize("count", [1, 2, 7, 3000])
def test_draws_are_box_muller_of_philox(count):
    expected = oracle(f'[1, 3, "beta", "a.weight", [{count}]]', count)
    np.testing.assert_allclose(
        gaussian(3, "beta", "a.weight", (count,)), expected, rtol=2**-23, atol=1e-15
    )


def test_draws_beyond_one_block_are_box_muller_of_philox():
    count = 2**16 + 501
    expected = oracle(f'[1, 3, "beta", "a.weight", [{count}]]', count)
    np.testing.assert_allclose(
        gaussian(3, "beta", "a.weight", (count,)), expected, rtol=2**-23, atol=1e-15
    )


def test_moments_and_tails_are_gaussian():
    num = 1_000_000
    drawn = gaussian(1, "alpha", "w", (num,)).astype(np.float64)
    for power, mean, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((drawn**power).mean() - mean) < 4.5 * math.sqrt(variance / num)
    for bound in (0.5, 1.0, 2.0, 3.0, 4.0):
        probability = math.erfc(bound / math.sqrt(2))
        error = 4.5 * math.sqrt(probability / num)
        assert abs((np.abs(drawn) > bound).mean() - probability) < error


def test_the_two_halves_of_a_pair_are_independent():
    drawn = gaussian(2, "alpha", "w", (200_000,)).astype(np.float64)
    cosine, sine = drawn[0::2], drawn[1::2]
    for first, second in [(cosine, sine), (cosine**2 - 1, sine**2 - 1), (drawn[:-1], drawn[1:])]:
        correlation = np.corrcoef(first, second)[0, 1]
        assert abs(correlation) < 4.5 / math.sqrt(len(first))


def test_seed_axis_name_and_shape_each_make_another_draw():
    base = (0, "alpha", "w", (500, 200))
    others = [
        (1, "alpha", "w", (500, 200)),
        (0, "beta", "w", (500, 200)),
        (0, "alpha", "v", (500, 200)),
        (0, "alpha", "w", (200, 500)),
    ]
    first = gaussian(*base).ravel().astype(np.float64)
    for other in others:
        second = gaussian(*other).ravel().astype(np.float64)
        cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
        assert abs(cosine) < 5 / math.sqrt(first.size)


def test_global_generators_are_neither_used_nor_moved():
    torch.manual_seed(1)
    np.random.seed(1)
    first = gaussian(0, "alpha", "w", (10,))
    untouched = torch.rand(3), np.random.rand(3)
    torch.manual_seed(1)
    np.random.seed(1)
    assert torch.equal(torch.rand(3), untouched[0])
    assert np.array_equal(np.random.rand(3), untouched[1])
    assert np.array_equal(gaussian(0, "alpha", "w", (10,)), first)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (5, 4, 3)])
def test_every_shape_is_drawn(shape):
    assert gaussian(0, "alpha", "w", shape).shape == shape
