from types import SimpleNamespace

import pytest
import torch
from small_problems import ConvNet, draw, random_directions
from torch import Tensor, nn

from losscape_mpi.evaluation.network.parameters import MovingParameters, _on_device


def move(model, directions, *coordinates, channels_last=False):
    moving = MovingParameters(model, directions, channels_last=channels_last)
    moving.attach(model)
    moving.move([coordinates])
    return moving


def plain(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_move_is_center_plus_both_directions_in_the_models_precision(dtype, channels_last):
    model = ConvNet().to(dtype)
    center, directions = plain(model), random_directions(model)
    move(model, directions, 0.3, -0.7, channels_last=channels_last)
    for name, parameter in model.named_parameters():
        want = center[name] + 0.3 * directions["alpha"][name].to(dtype)
        want += -0.7 * directions["beta"][name].to(dtype)
        assert parameter.dtype == dtype
        torch.testing.assert_close(parameter.detach(), want, rtol=4e-7, atol=4e-7)


def test_moves_start_from_the_center_and_never_accumulate():
    model = ConvNet()
    center = plain(model)
    moving = move(model, random_directions(model), 1.0, 1.0)
    for step in range(100):
        moving.move([(0.1 * step, -1e3)])
    moving.move([(0.0, 0.0)])
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, center[name])


def test_kernels_lie_channels_last_only_where_asked():
    for channels_last in (True, False):
        model = ConvNet()
        move(model, random_directions(model), 1.0, 1.0, channels_last=channels_last)
        for weight in (model.conv.weight, model.up.weight):
            assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last
            assert weight.is_contiguous() != channels_last


def test_a_move_is_seen_by_all_that_share_a_parameter():
    model = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
    model["b"].weight = model["a"].weight
    before = model["a"].weight.detach().clone()
    move(model, {"alpha": {"a.weight": torch.ones(2, 2)}}, 0.5)
    assert model["b"].weight is model["a"].weight
    assert torch.equal(model["b"].weight, before + 0.5)


def test_scalars_and_integers_are_parameters_too():
    model = nn.Module()
    model.scale = nn.Parameter(torch.tensor(2.0))
    model.table = nn.Parameter(torch.tensor([3, 4]), requires_grad=False)
    move(model, {"alpha": {"scale": torch.tensor(10.0)}}, 0.5)
    assert model.scale.shape == ()
    assert model.scale.item() == 7.0
    assert model.table.tolist() == [3, 4]


def test_directions_that_are_given_stay_as_they_are():
    model = ConvNet()
    directions = random_directions(model)
    before = {n: t.clone() for n, t in directions["alpha"].items()}
    move(model, directions, 2.0, 2.0, channels_last=True)
    assert all(torch.equal(t, before[n]) for n, t in directions["alpha"].items())


def test_the_number_of_coordinates_is_that_of_the_directions():
    model = ConvNet()
    moving = MovingParameters(model, random_directions(model))
    with pytest.raises(ValueError, match="zip"):
        moving.move([(1.0,)])


def test_a_name_that_the_model_lacks_is_refused():
    directions: dict[str, dict[str, Tensor]] = {"alpha": {}, "beta": {"module.weight": draw(2)}}
    with pytest.raises(ValueError, match=r"direction beta names module\.weight"):
        MovingParameters(ConvNet(), directions)


def test_several_points_are_the_points_one_by_one():
    model = ConvNet().double()
    directions = random_directions(model)
    points = [(0.3, -0.7), (0.0, 0.0), (-1.0, 2.0)]
    many = MovingParameters(model, directions, points=3)
    many.move(points)
    for row, point in zip(many.flat, points, strict=True):
        one = MovingParameters(model, directions)
        one.move([point])
        torch.testing.assert_close(row, one.flat[0], rtol=1e-15, atol=1e-15)


def test_float64_directions_reach_another_checkpoint_to_the_last_bit():
    model, other = ConvNet(), ConvNet()
    with torch.no_grad():
        for k, parameter in enumerate(other.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=300 + k) * 10.0 ** (k - 3))
    target = {
        name: there.detach().double() - here.detach().double()
        for (name, here), there in zip(model.named_parameters(), other.parameters(), strict=True)
    }
    move(model, {"alpha": target}, 1.0)
    for name, parameter in other.named_parameters():
        assert torch.equal(model.get_parameter(name), parameter), name
        assert model.get_parameter(name).dtype == torch.float32


def test_buffers_move_where_a_direction_names_them():
    model = ConvNet()
    mean, var = model.norm.running_mean.clone(), model.norm.running_var.clone()
    move(model, {"alpha": {"norm.running_mean": torch.ones(4)}}, 0.5)
    torch.testing.assert_close(model.norm.running_mean, mean + 0.5)
    assert torch.equal(model.norm.running_var, var)


@pytest.mark.parametrize("axis", ["alpha", "beta"])
def test_one_axis_may_name_a_buffer_of_a_model_on_another_device(axis):
    model = ConvNet().to("meta")
    directions = random_directions(ConvNet())
    directions[axis] = {"norm.running_mean": torch.ones(4)}
    moving = MovingParameters(model, directions, points=3)
    moving.move([(0.1, 0.2), (0.3, 0.4), (0.5, 0.6)])
    assert moving.flat.device.type == "meta"
    assert moving.moving == {"norm.running_mean", *dict(model.named_parameters())}


def test_what_moves_has_a_direction_that_is_not_zero():
    model = ConvNet()
    directions = {
        "alpha": {"conv.weight": torch.zeros(4, 3, 3, 3), "conv.bias": torch.zeros(4)},
        "beta": {"conv.bias": torch.tensor([0.0, 0.0, 1e-30, 0.0])},
    }
    assert MovingParameters(model, directions).moving == {"conv.bias"}


def test_coordinates_go_to_a_gpu_through_pinned_memory_without_waiting(monkeypatch):
    asked = []

    class Pinned:
        def to(self, device, non_blocking):
            asked.append((device.type, non_blocking))
            return self

    def tensor(numbers, **options):
        asked.append((numbers, options))
        return Pinned()

    monkeypatch.setattr(torch, "tensor", tensor)
    axis = SimpleNamespace(dtype=torch.float32, device=torch.device("cuda"), is_cuda=True)
    first, second = (_on_device([0.5, -1.0], axis) for _ in range(2))
    assert first is not second
    want = [([0.5, -1.0], {"dtype": torch.float32, "pin_memory": True}), ("cuda", True)]
    assert asked == 2 * want
