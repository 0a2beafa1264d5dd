import pytest
import torch
from small_problems import ConvNet, draw, random_directions
from torch import Tensor, nn

from losscape_mpi.evaluation.parameters import MovingParameters


def plain(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_move_is_center_plus_both_directions_in_the_models_precision(dtype, channels_last):
    model = ConvNet().to(dtype)
    center, directions = plain(model), random_directions(model)
    MovingParameters(model, directions, channels_last).move(0.3, -0.7)
    for name, parameter in model.named_parameters():
        want = center[name] + 0.3 * directions["alpha"][name].to(dtype)
        want += -0.7 * directions["beta"][name].to(dtype)
        assert parameter.dtype == dtype
        torch.testing.assert_close(parameter.detach(), want, rtol=4e-7, atol=4e-7)


def test_moves_start_from_the_center_and_never_accumulate():
    model = ConvNet()
    center = plain(model)
    moving = MovingParameters(model, random_directions(model))
    for step in range(100):
        moving.move(0.1 * step, -1e3)
    moving.move(0.0, 0.0)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, center[name])


def test_kernels_lie_channels_last_only_where_asked():
    for channels_last in (True, False):
        model = ConvNet()
        MovingParameters(model, random_directions(model), channels_last).move(1.0, 1.0)
        for weight in (model.conv.weight, model.up.weight):
            assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last
            assert weight.is_contiguous() != channels_last


def test_a_move_is_seen_by_all_that_share_a_parameter():
    model = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
    model["b"].weight = model["a"].weight
    before = model["a"].weight.detach().clone()
    MovingParameters(model, {"alpha": {"a.weight": torch.ones(2, 2)}}).move(0.5)
    assert model["b"].weight is model["a"].weight
    assert torch.equal(model["b"].weight, before + 0.5)


def test_scalars_and_integers_are_parameters_too():
    model = nn.Module()
    model.scale = nn.Parameter(torch.tensor(2.0))
    model.table = nn.Parameter(torch.tensor([3, 4]), requires_grad=False)
    MovingParameters(model, {"alpha": {"scale": torch.tensor(10.0)}}).move(0.5)
    assert model.scale.shape == ()
    assert model.scale.item() == 7.0
    assert model.table.tolist() == [3, 4]


def test_directions_that_are_given_stay_as_they_are():
    model = ConvNet()
    directions = random_directions(model)
    before = {n: t.clone() for n, t in directions["alpha"].items()}
    MovingParameters(model, directions, channels_last=True).move(2.0, 2.0)
    assert all(torch.equal(t, before[n]) for n, t in directions["alpha"].items())


def test_the_number_of_coordinates_is_that_of_the_directions():
    model = ConvNet()
    moving = MovingParameters(model, random_directions(model))
    with pytest.raises(ValueError, match="zip"):
        moving.move(1.0)


def test_a_name_that_the_model_lacks_is_refused():
    directions: dict[str, dict[str, Tensor]] = {"alpha": {}, "beta": {"module.weight": draw(2)}}
    with pytest.raises(ValueError, match=r"direction beta names module\.weight"):
        MovingParameters(ConvNet(), directions)
