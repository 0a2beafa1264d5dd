"""Names: what stands before them, tied and spare ones, load hooks, and which network is meant."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, weight_norm

from losscape_mpi.errors import UserError
from losscape_mpi.problem.checkpoint import load_checkpoint, load_into, read_state


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def other(seed):
    torch.manual_seed(seed)
    model = network()
    model[1].running_mean.normal_()
    return model


def prefixed(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def equal(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def loaded(path, model=None, key=None):
    model = model or network()
    load_checkpoint(model, path, key, is_center=True)
    return model.state_dict()


def refusal(path, model=None, key=None):
    model = model or network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UserError) as caught:
        load_checkpoint(model, path, key, is_center=True)
    assert "\n" not in str(caught.value)
    assert equal(model.state_dict(), before)
    return str(caught.value)


@pytest.fixture
def save(tmp_path):
    def write(content):
        path = tmp_path / "net.pt"
        torch.save(content, path)
        return path

    return write


@pytest.mark.parametrize(
    "prefix", ["model.", "net.", "backbone.", "module.model.", "model._orig_mod.", "a.b.c.d."]
)
def test_one_prefix_before_all_names_is_dropped(save, prefix):
    state = other(1).state_dict()
    assert equal(loaded(save({"state_dict": prefixed(prefix, state)})), state)


def test_the_networks_own_prefix_is_added():
    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network()

    model, state = Wrapper(), other(1).state_dict()
    load_into(model, state, Path("x.pt"))
    assert equal(model.net.state_dict(), state)
    load_into(model, prefixed("model.", other(2).state_dict()), Path("x.pt"))
    assert equal(model.net.state_dict(), other(2).state_dict())


def test_loss_and_metrics_of_lightning_beside_the_network_are_left_out_by_name(save, caplog):
    caplog.set_level("INFO")
    state = other(1).state_dict()
    extra = {"criterion.weight": torch.ones(3), "train_acc.total": torch.tensor(5)}
    path = save({"state_dict": prefixed("model.", state) | extra, "epoch": 3, "loops": {}})
    assert equal(loaded(path), state)
    assert "left out criterion.weight, train_acc.total" in caplog.text


def test_a_part_of_a_larger_network_is_no_checkpoint_of_the_part_unless_asked_for(save):
    state = other(1).state_dict()
    path = save(prefixed("backbone.", state) | {"head.weight": torch.ones(4, 3)})
    assert "without 'backbone.' 9 of 9 names fit" in refusal(path)
    assert equal(loaded(path, key="backbone"), state)


def test_the_prefix_that_would_fit_best_is_named(save):
    state = prefixed("model.", other(1).state_dict())
    del state["model.3.bias"]
    message = refusal(save(state))
    assert "1 missing (first 3.bias)" in message
    assert "without 'model.' 8 of 9 names fit" in message


@pytest.mark.parametrize("name", ["epoch", "total_ops", "0.total_params", "2.num_batches_tracked"])
def test_bookkeeping_among_the_parameters_is_left_out_by_name(save, caplog, name):
    caplog.set_level("INFO")
    state = other(1).state_dict()
    assert equal(loaded(save(state | {name: torch.zeros(1)})), state)
    assert f"left out {name}" in caplog.text


@pytest.mark.parametrize("value", [3, "resnet", 0.5, None, [1, 2]])
def test_plain_values_among_the_parameters_are_left_out_by_name(save, caplog, value):
    caplog.set_level("INFO")
    state = other(1).state_dict()
    assert equal(loaded(save(dict(state) | {"epoch": value})), state)
    assert "left out epoch" in caplog.text


@pytest.mark.parametrize(
    ("name", "shape"), [("scale", (1,)), ("4.weight", (2, 3)), ("epoch", (3,))]
)
def test_an_unknown_tensor_too_many_is_refused(save, name, shape):
    assert f"unexpected (first '{name}')" in refusal(
        save(other(1).state_dict() | {name: torch.zeros(shape)})
    )


@pytest.mark.parametrize("name", list(network().state_dict()))
def test_a_missing_entry_is_refused_unless_it_counts_batches(save, name):
    state = other(1).state_dict()
    del state[name]
    if name.endswith("num_batches_tracked"):
        assert loaded(save(state))[name] == 0
    else:
        assert f"1 missing (first {name})" in refusal(save(state))


def test_buffer_that_the_network_computes_itself_may_stand_in_the_checkpoint(save):
    class Positions(nn.Linear):
        def __init__(self):
            super().__init__(2, 2)
            self.register_buffer("positions", torch.arange(4), persistent=False)

    state = nn.Linear(2, 2).state_dict()
    path = save(state | {"positions": torch.arange(4)})
    assert equal(loaded(path, Positions()), state)
    path = save(state | {"positions": torch.arange(4) + 1})
    assert "unexpected (first 'positions')" in refusal(path, Positions())


@pytest.mark.parametrize(
    "keys", [("student", "teacher"), ("model", "ema"), ("state_dict", "state_dict_ema")]
)
def test_of_two_networks_none_is_taken_unless_the_study_names_it(save, keys):
    states = [other(1).state_dict(), other(2).state_dict()]
    path = save(dict(zip(keys, states, strict=True)) | {"epoch": 2})
    message = refusal(path)
    assert f"({keys[0]}, {keys[1]})" in message
    assert "problem.checkpoint_key" in message
    with pytest.raises(UserError, match="checkpoint_key"):
        read_state(path)
    for key, state in zip(keys, states, strict=True):
        assert equal(loaded(path, key=key), state)
    assert "has no part 'other'" in refusal(path, key="other")


def test_two_networks_under_two_prefixes_are_asked_for_too(save):
    one, two = other(1).state_dict(), other(2).state_dict()
    both = prefixed("model.", one) | prefixed("model_ema.module.", two)
    path = save({"state_dict": both})
    refusal(path)
    assert equal(loaded(path, key="model"), one)
    assert equal(loaded(path, key="model_ema.module"), two)


def test_two_networks_of_the_same_numbers_are_one(save):
    state = other(1).state_dict()
    assert equal(
        loaded(save({"model": state, "ema": {k: v.clone() for k, v in state.items()}})), state
    )


def test_of_two_different_networks_the_one_that_fits_is_taken(save):
    state = other(1).state_dict()
    path = save({"discriminator": nn.Linear(7, 7).state_dict(), "generator": state})
    assert equal(loaded(path), state)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embed.weight


@pytest.mark.parametrize("kept", ["embed.weight", "head.weight"])
def test_one_name_of_two_tied_weights_is_enough(tmp_path, kept):
    weight = torch.randn(5, 4)
    save_file({kept: weight}, tmp_path / "net.safetensors")
    state = loaded(tmp_path / "net.safetensors", Tied())
    assert torch.equal(state["embed.weight"], weight)
    assert torch.equal(state["head.weight"], weight)


def test_tied_weights_that_differ_in_the_checkpoint_are_refused(save):
    path = save({"embed.weight": torch.zeros(5, 4), "head.weight": torch.ones(5, 4)})
    assert "one tensor" in refusal(path, Tied())


class Renaming(nn.Module):
    """Reads the checkpoints of an older version of itself, in which `new` was called `old`."""

    def __init__(self):
        super().__init__()
        self.new = nn.Linear(3, 2)
        self._register_load_state_dict_pre_hook(self._rename)

    def _rename(self, state, prefix, *_):
        for name in [name for name in state if name.startswith(f"{prefix}old.")]:
            state[name.replace("old.", "new.")] = state.pop(name)


class Stacking(nn.Linear):
    """Stacks the two halves that older checkpoints hold."""

    def _load_from_state_dict(self, state, prefix, *args):
        if f"{prefix}upper" in state:
            state[f"{prefix}weight"] = torch.cat(
                [state.pop(f"{prefix}upper"), state.pop(f"{prefix}lower")]
            )
        super()._load_from_state_dict(state, prefix, *args)


class Forgiving(nn.Linear):
    """Keeps what it has where the checkpoint lacks it, and says nothing."""

    def _load_from_state_dict(self, state, prefix, *args):
        state.setdefault(f"{prefix}bias", self.bias.detach())
        if f"{prefix}w" in state:
            state[f"{prefix}weight"] = state.pop(f"{prefix}w")
        super()._load_from_state_dict(state, prefix, *args)


def test_load_hooks_may_rename(save):
    want = nn.Linear(3, 2).state_dict()
    path = save(prefixed("old.", want))
    assert equal(loaded(path, Renaming()), prefixed("new.", want))
    path = save({"state_dict": prefixed("module.old.", want)})
    assert equal(loaded(path, Renaming()), prefixed("new.", want))


def test_load_hooks_may_put_tensors_together(save):
    weight, bias = torch.randn(4, 3), torch.randn(4)
    path = save({"upper": weight[:2], "lower": weight[2:], "bias": bias})
    assert equal(loaded(path, Stacking(3, 4)), {"weight": weight, "bias": bias})


def test_weight_norm_of_old_torch_is_loaded_by_the_new_one(save):
    with pytest.warns(FutureWarning):
        old = weight_norm(nn.Linear(3, 2))
    new = parametrizations.weight_norm(nn.Linear(3, 2))
    loaded(save(old.state_dict()), new)
    x = torch.randn(5, 3)
    torch.testing.assert_close(new(x), old(x))


@pytest.mark.parametrize("name", ["w", "weight"])
def test_load_hooks_that_leave_an_entry_as_initialized_are_refused(save, name):
    assert "bias" in refusal(save({name: torch.ones(2, 3)}), Forgiving(3, 2))


def test_load_hooks_that_throw_the_checkpoints_value_away_are_refused(save):
    class Dropping(nn.Linear):
        def _load_from_state_dict(self, state, prefix, *args):
            state[f"{prefix}bias"] = self.bias.detach().clone()
            super()._load_from_state_dict(state, prefix, *args)

    model, want = Dropping(3, 2), nn.Linear(3, 2).state_dict()
    with pytest.raises(UserError, match="leave bias as initialized"):
        load_checkpoint(model, save(want))
