"""The network of a study, before its checkpoint."""

import random
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.problem.model import build_model
from losscape_mpi.study.config import ProblemConfig

DIGITS = (1, 8, 8)


def config(model, **model_args):
    return ProblemConfig(model=model, model_args=model_args, data={"name": "digits"})


def refusal(model, input_shape=DIGITS, num_classes=10, **model_args):
    with pytest.raises(UserError) as caught:
        build_model(config(model, **model_args), input_shape, num_classes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def own_module(monkeypatch):
    module = types.ModuleType("own_networks")
    module.count = lambda: 3
    module.linear = lambda inputs=4, outputs=2: nn.Sequential(
        nn.Linear(inputs, outputs), nn.Dropout()
    )
    module.Net = nn.Linear

    def broken():
        raise TypeError("inside the network")

    module.broken = broken
    monkeypatch.setitem(sys.modules, "own_networks", module)
    return module


@pytest.fixture
def fake_timm(monkeypatch):
    calls = []

    def create_model(name, pretrained=True, num_classes=1000, **args):
        calls.append((name, pretrained, num_classes, args))
        if "no_such_argument" in args:
            raise TypeError("unexpected keyword argument 'no_such_argument'")
        return nn.Linear(3, num_classes)

    timm = types.ModuleType("timm")
    timm.create_model, timm.calls = create_model, calls
    timm.is_model = lambda name: name == "resnet18"
    timm.list_models = lambda: ["resnet18", "vit_tiny"]
    monkeypatch.setitem(sys.modules, "timm", timm)
    return timm


def equal_states(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("model", ["digits_resnet", "mlp", "own_networks:linear"])
def test_network_is_the_same_whatever_was_drawn_before(own_module, model):
    torch.manual_seed(1)
    one = build_model(config(model), DIGITS, 10)
    torch.randn(7)
    other = build_model(config(model), DIGITS, 10)
    assert equal_states(one, other)


def test_random_state_of_the_caller_is_left_as_it_was():
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    build_model(config("digits_resnet"), DIGITS, 10)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2]


def test_random_state_of_the_caller_is_left_as_it_was_by_a_refusal(own_module):
    state = torch.get_rng_state()
    refusal("own_networks:count")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("model", ["digits_resnet", "own_networks:linear"])
def test_network_comes_in_eval_mode_on_the_cpu(own_module, model):
    network = build_model(config(model), DIGITS, 10)
    assert not any(module.training for module in network.modules())
    assert {p.device.type for p in network.parameters()} == {"cpu"}


def test_arguments_reach_the_network(own_module):
    assert len(build_model(config("mlp", layers=3, width=4), (2,), 3).hidden) == 3
    assert build_model(config("own_networks:linear", outputs=5), (4,), None)[0].out_features == 5
    args = {"in_features": 3, "out_features": 2, "bias": False}
    assert build_model(config("own_networks:Net", **args), (3,), 2).bias is None


def test_wrong_callables_are_refused(own_module):
    assert "'speed'" in refusal("own_networks:linear", speed=3)
    assert "type int" in refusal("own_networks:count")
    assert "in_features" in refusal("own_networks:Net")
    assert "no module 'no_such_package'" in refusal("no_such_package:net")


def test_error_inside_the_users_network_passes_through(own_module):
    with pytest.raises(TypeError, match="inside the network"):
        build_model(config("own_networks:broken"), (2,), 2)


def test_zoo_networks_need_class_labels():
    assert "class labels" in refusal("mlp", num_classes=None)
    assert "class labels" in refusal("timm:resnet18", num_classes=None)


def test_misspelt_name_is_refused_with_the_near_one_and_the_forms():
    message = refusal("resnet57")
    assert "resnet56" in message
    assert "package.module:callable" in message


def test_timm_network_is_asked_for_without_its_trained_parameters(fake_timm):
    network = build_model(config("timm:resnet18", in_chans=1), DIGITS, 7)
    assert fake_timm.calls == [("resnet18", False, 7, {"in_chans": 1})]
    assert network.out_features == 7


def test_wrong_requests_to_timm_are_refused(fake_timm):
    assert "nearest: resnet18" in refusal("timm:resnet17")
    assert "pretrained" in refusal("timm:resnet18", pretrained=True)
    assert "checkpoint_path" in refusal("timm:resnet18", checkpoint_path="a.pt")
    assert "no_such_argument" in refusal("timm:resnet18", no_such_argument=1)


def test_missing_timm_is_said(monkeypatch):
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.setattr(sys, "path", [])
    assert "timm is not installed" in refusal("timm:resnet18")
