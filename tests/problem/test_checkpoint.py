"""Checkpoints: loaded whole or not at all, written whole or not at all, and their hashes."""

import hashlib
import os
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.problem.checkpoint import (
    file_sha256,
    load_into,
    read_state,
    state_sha256,
    write_state,
)


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def random_state():
    model = network()
    model[1].running_mean.normal_()
    model[1].num_batches_tracked.fill_(7)
    return model.state_dict()


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_checkpoint_becomes_the_parameters_and_buffers(tmp_path):
    model, state = network(), random_state()
    load_into(model, state, tmp_path)
    assert equal(model.state_dict(), state)


def test_absent_counters_of_batchnorm_are_filled(tmp_path):
    model, state = network(), random_state()
    del state["1.num_batches_tracked"]
    load_into(model, state, tmp_path)
    assert model[1].num_batches_tracked == 0
    assert torch.equal(model[1].running_mean, state["1.running_mean"])


@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, lambda model: nn.Sequential(OrderedDict(module=model))]
)
def test_network_that_is_wrapped_itself_takes_the_clean_names(tmp_path, wrap):
    state, inner = random_state(), network()
    load_into(wrap(inner), state, tmp_path)
    assert equal(inner.state_dict(), state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_values_are_cast_to_the_dtype_of_the_network(tmp_path, dtype):
    model = nn.Linear(3, 2)
    state = {"weight": torch.randn(2, 3).to(dtype), "bias": torch.randn(2).to(dtype)}
    load_into(model, state, tmp_path)
    assert model.weight.dtype == torch.float32
    assert torch.equal(model.weight, state["weight"].float())


def test_mismatch_names_the_first_of_each_kind_and_loads_nothing(tmp_path):
    model, path = network(), tmp_path / "other.pt"
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = random_state()
    del state["0.bias"], state["1.weight"]
    state.update({"head.a": torch.ones(1), "head.b": torch.ones(1)})
    state["3.weight"] = torch.ones(5, 8)
    with pytest.raises(UserError) as caught:
        load_into(model, state, path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert "does not fit Sequential" in message
    assert "2 missing (first 0.bias)" in message
    assert "2 unexpected (first 'head.a')" in message
    assert "1 of another shape or type (first 3.weight: found (5, 8) float32" in message
    assert "expected (3, 8) float32" in message
    assert equal(model.state_dict(), before)


def test_integers_in_place_of_parameters_are_refused(tmp_path):
    state = {"weight": torch.ones(2, 3, dtype=torch.int8), "bias": torch.ones(2)}
    with pytest.raises(UserError, match=r"weight: found \(2, 3\) int8"):
        load_into(nn.Linear(3, 2), state, tmp_path)


def test_written_tensors_and_text_are_read_back(tmp_path):
    state = random_state()
    state["tied"] = state["3.weight"]
    state["strided"] = torch.arange(6.0).reshape(2, 3).T
    path, metadata = tmp_path / "new" / "net 'ä'.safetensors", {"recipe": "Größe\n2", "a": "b"}
    write_state(path, state, metadata)
    assert equal(read_state(path), state)
    with safe_open(path, "pt") as file:
        assert file.metadata() == metadata
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_equal_content_gives_equal_bytes(tmp_path):
    state, metadata = random_state(), {f"key{i}": "x" for i in range(8)}
    write_state(tmp_path / "one.safetensors", state, metadata)
    backwards = dict(reversed(metadata.items()))
    write_state(tmp_path / "two.safetensors", dict(reversed(state.items())), backwards)
    assert file_sha256(tmp_path / "one.safetensors") == file_sha256(tmp_path / "two.safetensors")


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    write_state(path, {"weight": torch.ones(2)}, {})
    before = path.read_bytes()

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(UserError, match="No space left"):
        write_state(path, {"weight": torch.zeros(2)}, {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_other_suffixes_and_impossible_folders_are_not_written(tmp_path):
    (tmp_path / "file").touch()
    for name in ("net.pt", "file/net.safetensors"):
        with pytest.raises(UserError, match="net"):
            write_state(tmp_path / name, {"weight": torch.ones(2)}, {})


def test_file_hash_is_that_of_the_bytes(tmp_path):
    content = os.urandom(3_000_000)
    (tmp_path / "x").write_bytes(content)
    assert file_sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_state_hash_depends_on_values_names_shapes_and_dtypes_alone():
    def linear(change=lambda m: None):
        model = nn.Linear(4, 2)
        with torch.no_grad():
            model.weight.copy_(torch.arange(8.0).reshape(2, 4))
            model.bias.zero_()
        change(model)
        return state_sha256(model)

    def last_bit(m):
        m.weight.data[1, 3] = float(np.nextafter(np.float32(7), np.float32(8)))

    def reshaped(m):
        m.weight = nn.Parameter(m.weight.data.reshape(4, 2))

    def strided(m):
        m.weight = nn.Parameter(m.weight.data.T.contiguous().T)

    want = linear()
    assert linear() == want
    assert linear(strided) == want
    assert linear(lambda m: m.eval()) == want
    changes = [
        last_bit,
        reshaped,
        lambda m: m.double(),
        lambda m: m.bias.data.fill_(-0.0),
        lambda m: m.register_buffer("extra", torch.zeros(0)),
        lambda m: m.register_buffer("extra", torch.tensor(True)),
        lambda m: m.register_buffer("extra", torch.zeros(3)),
        lambda m: m.register_buffer("extra", torch.zeros(3, dtype=torch.int32)),
    ]
    assert len({want, *(linear(change) for change in changes)}) == 9
