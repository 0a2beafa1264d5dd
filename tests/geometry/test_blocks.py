import numpy as np
import pytest

from losscape_mpi.geometry.blocks import by_kernels, by_positions, is_pointwise
from losscape_mpi.geometry.role import Role

SHAPES = [
    (4, 3, 5, 2),
    (3, 4, 5, 2),
    (6, 5),
    (2, 3, 4),
    (2, 3, 2, 4, 3),
    (5, 1, 3, 3),
    (1, 7, 1, 1),
]


def numbers(*shape):
    return np.random.default_rng(shape).standard_normal(shape)


@pytest.mark.parametrize("filter_axis", [0, 1])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("by", [by_kernels, by_positions])
def test_a_rule_that_changes_nothing_gives_the_tensor_back(by, shape, filter_axis):
    tensor = numbers(*shape)
    assert np.array_equal(by(tensor, lambda matrices: matrices, Role(axis=filter_axis)), tensor)


def test_the_matrices_of_kernels_are_the_kernels():
    tensor, seen = numbers(4, 3, 5, 2), []
    by_kernels(tensor, lambda matrices: seen.append(matrices) or matrices)
    assert [m.tolist() for m in seen[0]] == [
        tensor[o, i].tolist() for o in range(4) for i in range(3)
    ]


def test_the_matrices_of_positions_are_out_by_in():
    tensor, seen = numbers(4, 3, 5, 2), []
    by_positions(tensor, lambda matrices: seen.append(matrices) or matrices)
    expected = [tensor[:, :, h, w].tolist() for h in range(5) for w in range(2)]
    assert [m.tolist() for m in seen[0]] == expected


def test_filters_of_a_transposed_convolution_lie_along_axis_1():
    tensor = numbers(3, 4, 5, 2)  # (in, out, h, w)

    def mark(matrices):
        return matrices * np.arange(1, 1 + matrices.shape[1])[:, None]  # row = output

    found = by_positions(tensor, mark, Role(axis=1))
    assert np.array_equal(found, tensor * np.arange(1, 5)[None, :, None, None])


def test_kernels_of_one_and_three_dimensions_are_matrices():
    for shape, expected in (((2, 3, 4), (6, 4, 1)), ((2, 3, 2, 4, 3), (6, 2, 12))):
        seen = []
        by_kernels(numbers(*shape), lambda m, seen=seen: seen.append(m.shape) or m)
        assert seen == [expected]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((6, 5), True), ((6, 5, 1, 1), True), ((6, 5, 1), True), ((6, 5, 1, 3), False), ((6,), False)],
)
def test_a_kernel_of_a_single_number_is_pointwise(shape, expected):
    assert is_pointwise(np.zeros(shape)) is expected
