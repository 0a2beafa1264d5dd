import logging

import numpy as np
import pytest
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import AXES, Center, Made
from losscape_mpi.geometry.matching import file_direction
from losscape_mpi.geometry.plane import span_plane

SHAPES = {
    "conv.weight": (4, 3, 3, 3),
    "bn.weight": (4,),
    "bn.bias": (4,),
    "fc.weight": (5, 4),
    "fc.bias": (5,),
}


def numbers(shape, seed):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def center():
    return {name: torch.from_numpy(numbers(shape, 0)) for name, shape in SHAPES.items()}


def arrays_of(seed):
    return [numbers(shape, seed) for shape in SHAPES.values()]


def states_of(seed, num_buffers=3, mean=0.0):
    conv, weight, bias, *rest = arrays_of(seed)
    tracked = [np.zeros((), np.float32)] if num_buffers == 3 else []
    statistics = [np.full(4, mean, np.float32), np.zeros(4, np.float32), *tracked]
    return [conv, weight, bias, *statistics, *rest]


def plane_of(num_axes=2, weights=None, **arrays):
    weights = center() if weights is None else weights
    plain = {name: tensor.numpy() for name, tensor in weights.items()}

    made = {
        axis: Made(file_direction(arrays[axis], plain, "directions.h5"), {"kind": "file"})
        for axis in AXES[:num_axes]
    }
    return span_plane(made, Center({n: array.astype(np.float64) for n, array in plain.items()}))


def assert_holds(direction, arrays):
    assert list(direction) == list(SHAPES)
    for tensor, array in zip(direction.values(), arrays, strict=True):
        assert tensor.dtype == torch.float32
        assert np.array_equal(tensor.numpy(), array)


def test_arrays_become_directions_by_order_untouched():
    alpha, beta = arrays_of(1), arrays_of(2)
    plane = plane_of(alpha=alpha, beta=beta)
    assert_holds(plane.directions["alpha"], arrays_of(1))
    assert_holds(plane.directions["beta"], arrays_of(2))
    plane.directions["alpha"]["fc.bias"].zero_()
    assert np.array_equal(alpha[4], arrays_of(1)[4])


def test_the_record_does_not_claim_a_recipe_that_was_not_used():
    record = plane_of(alpha=arrays_of(1), beta=arrays_of(2)).record
    assert record["kind"] == "file"
    assert [record[key] for key in ("normalize", "ignore", "seed")] == [None, None, None]


def test_a_profile_takes_the_first_axis_of_the_file():
    plane = plane_of(1, alpha=arrays_of(1), beta=arrays_of(2))
    assert list(plane.directions) == ["alpha"]


@pytest.mark.parametrize("count", [0, 1, 4, 6])
def test_another_number_of_arrays_is_refused_never_cut(count):
    arrays = (arrays_of(1) + arrays_of(3))[:count]
    with pytest.raises(UserError, match=f"found {count} arrays, expected 5"):
        plane_of(1, alpha=arrays)


def test_another_shape_is_refused_naming_the_first():
    arrays = arrays_of(1)
    arrays[3] = arrays[3].T
    arrays[4] = arrays[4][:2]
    with pytest.raises(UserError, match=r"array 3 has shape \(4, 5\), expected \(5, 4\) of fc.wei"):
        plane_of(1, alpha=arrays)


@pytest.mark.parametrize("num_buffers", [2, 3])
def test_a_states_file_gives_its_parameters_where_the_statistics_stay(num_buffers):
    plane = plane_of(alpha=states_of(1, num_buffers), beta=states_of(2, num_buffers))
    assert_holds(plane.directions["alpha"], arrays_of(1))
    assert_holds(plane.directions["beta"], arrays_of(2))


def test_a_states_file_that_moves_running_statistics_is_refused():
    with pytest.raises(UserError, match="states file whose array 3 moves running statistics"):
        plane_of(1, alpha=states_of(1, mean=0.1))


def test_a_states_file_of_another_network_is_refused():
    states = states_of(1)
    states[0] = states[0][:3]
    with pytest.raises(UserError, match="found 8 arrays, expected 5"):
        plane_of(1, alpha=states)


def test_parallel_directions_are_refused():
    with pytest.raises(UserError, match="which is a line and no plane"):
        plane_of(alpha=arrays_of(1), beta=[-3 * array for array in arrays_of(1)])


def test_skew_directions_are_warned_of(caplog):
    skew = [one + two for one, two in zip(arrays_of(1), arrays_of(2), strict=True)]
    with caplog.at_level(logging.WARNING):
        plane = plane_of(alpha=arrays_of(1), beta=skew)
    assert 0.5 < plane.record["cosine"] < 0.99
    assert "skew" in caplog.text


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(value):
    arrays = arrays_of(1)
    arrays[3][0, 0] = value
    with pytest.raises(UserError, match=r"direction alpha holds NaN, infinity .* fc.weight"):
        plane_of(1, alpha=arrays)


def test_a_direction_of_zeros_is_refused():
    with pytest.raises(UserError, match="direction alpha is 0 everywhere"):
        plane_of(1, alpha=[0 * array for array in arrays_of(1)])


def test_directions_of_the_2018_code_have_the_length_of_the_filters(shared):
    h5py = pytest.importorskip("h5py")
    path = shared / "data" / "checkpoints" / "resnet56.t7"
    state = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    weights = {name: tensor for name, tensor in state.items() if "running" not in name}
    with h5py.File(shared / "reference" / "resnet56" / "directions.h5", "r") as file:
        arrays = {
            axis: [file[group][str(index)][()] for index in range(len(file[group]))]
            for axis, group in (("alpha", "xdirection"), ("beta", "ydirection"))
        }
    plane = plane_of(weights=weights, **arrays)
    for direction in plane.directions.values():
        for name, weight in weights.items():
            if weight.ndim <= 1:
                assert not direction[name].any()
            else:
                found = direction[name].double().flatten(1).norm(dim=1)
                expected = weight.double().flatten(1).norm(dim=1)
                torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    assert abs(plane.record["cosine"]) < 0.05
