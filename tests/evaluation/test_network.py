"""The moved network against the model at that point, formed tensor by tensor."""

import pytest
import torch
from small_problems import ConvNet, draw, moved, random_directions
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.network.network import Network
from losscape_mpi.problem.copy import copy_model

POINT = (0.5, -0.25)
CPU = torch.device("cpu")


def network_of(model, directions=None, **choices):
    moves = random_directions(model) if directions is None else directions
    layout = choices.pop("layout", "contiguous")
    return Network(model.eval(), moves, Choices(4, layout, **choices), CPU)


@torch.no_grad()
def outputs_at(network, inputs, *points):
    network.move(points)
    return network.outputs(network.cast(inputs))


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("points", [1, 3])
def test_outputs_are_those_of_the_model_there(fused, layout, points):
    model, images = ConvNet().eval(), draw(5, 3, 6, 5)
    network = network_of(model, fused=fused, layout=layout, points_per_pass=points)
    places = [(0.5 - 0.25 * k, 0.125 * k) for k in range(points)]

    got = outputs_at(network, images, *places)

    assert got.shape == (points, 5, 3)
    for place, values in zip(places, got, strict=True):
        want = moved(model, random_directions(model), *place)(images.double())
        torch.testing.assert_close(values.double(), want, rtol=1e-4, atol=1e-5)


def test_the_original_moves_along_and_keeps_its_own_modules():
    model = ConvNet()
    network = network_of(model, fused=True)
    network.move([POINT])
    there = moved(model, random_directions(model), *POINT)
    assert isinstance(network.original.norm, nn.BatchNorm2d)
    for got, want in zip(network.original.parameters(), there.parameters(), strict=True):
        torch.testing.assert_close(got.double(), want, rtol=1e-6, atol=1e-6)


def test_the_model_that_was_given_stays_where_it_is():
    model = ConvNet()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    outputs_at(network_of(model, fused=True, precision="bfloat16"), draw(2, 3, 6, 5), POINT)
    for name, tensor in model.state_dict().items():
        assert tensor.equal(before[name]), name


class Single(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1)
        with torch.no_grad():
            self.conv.weight.fill_(1.0)
            self.norm.weight.fill_(3.0)
            self.norm.running_var.fill_(0.64 - self.norm.eps)

    def forward(self, x):
        return self.norm(self.conv(x)).flatten(1)


def test_weights_are_moved_and_folded_in_float32_and_rounded_once():
    model = Single()
    moves = {"alpha": {"conv.weight": torch.ones(1, 1, 1, 1)}}
    network = network_of(model, moves, fused=True, precision="bfloat16")
    one, found, rounded_first = torch.ones(1, 1, 1, 1), set(), set()
    for alpha in (k / 1024 for k in range(33)):
        got = float(outputs_at(network, one, (alpha,)))
        assert got == float(torch.tensor((1 + alpha) * 3 / 0.8).bfloat16())
        found.add(got)
        rounded_first.add(float(torch.tensor(1 + alpha).bfloat16()))
    # A weight that is rounded before it is folded takes fewer values than the folded one.
    assert len(found) > len(rounded_first)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_computes_low_and_answers_in_float32(fused, precision):
    images = draw(5, 3, 6, 5)
    low, exact = (
        outputs_at(network_of(ConvNet(), fused=fused, precision=name), images, POINT)
        for name in (precision, "float32")
    )
    assert low.dtype == exact.dtype == torch.float32
    assert not low.equal(exact)
    torch.testing.assert_close(low, exact, rtol=0.05, atol=0.05)


def test_inputs_are_cast_only_where_the_layers_are():
    images, tokens = draw(2, 3, 6, 5), torch.ones(2, 4, dtype=torch.int64)
    fused = network_of(ConvNet(), fused=True, precision="bfloat16")
    assert fused.cast(images).dtype == torch.bfloat16
    assert fused.cast(tokens).dtype == torch.int64
    assert network_of(ConvNet(), precision="bfloat16").cast(images).dtype == torch.float32
    assert fused.to_device(images).dtype == torch.float32


@pytest.mark.parametrize("points", [1, 2])
def test_a_twin_moves_along_but_has_modules_of_its_own(points):
    images = draw(5, 3, 6, 5)
    network = network_of(ConvNet(), fused=True, points_per_pass=points)
    twin = network.twin()
    assert not set(map(id, twin._model.modules())) & set(map(id, network._model.modules()))
    for place in (POINT, (-1.0, 1.0)):
        want = outputs_at(network, images, *[place] * points)
        with torch.no_grad():
            assert twin.outputs(images).equal(want)


def test_no_float32_product_may_use_tf32_unless_it_is_asked_for():
    names = ("float32", "tf32", "bfloat16", "float64")
    used = {name: network_of(ConvNet(), precision=name).uses_tf32 for name in names}
    assert used == {"float32": False, "tf32": True, "bfloat16": False, "float64": False}


def test_a_model_that_cannot_be_copied_is_refused_in_one_line():
    model = nn.Linear(2, 2)
    model.scaled = 2 * model.weight  # computed outside of forward: no leaf of the graph
    with pytest.raises(UserError, match=r"the model Linear cannot be copied .*parametrizations"):
        copy_model(model)
