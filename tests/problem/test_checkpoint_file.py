"""What is read from a checkpoint file, by its clean names, and what is refused."""

import io
import os
import pickle
import tarfile

import pytest
import torch
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.problem.checkpoint import read_state, write_state


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def random_state():
    model = network()
    model[1].running_mean.normal_()
    model[1].num_batches_tracked.fill_(7)
    return model.state_dict()


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def prefixed(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def read_refusal(path):
    with pytest.raises(UserError) as caught:
        read_state(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert "weights_only" not in message
    assert "PyTorch" not in message
    return message


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".t7", ".PT"])
@pytest.mark.parametrize("new_format", [True, False])
def test_torch_files_of_either_format_are_read(tmp_path, suffix, new_format):
    state = random_state()
    path = tmp_path / f"net{suffix}"
    torch.save(state, path, _use_new_zipfile_serialization=new_format)
    assert equal(read_state(path), state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"state_dict": s, "epoch": 3, "opt_state": {"step": torch.zeros(1)}},
        lambda s: {"model": s, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        lambda s: {"model_state_dict": s, "loss": 0.5},
        lambda s: {"net": s, "acc": 93.0},
        lambda s: {"ema": {"module": s}, "epoch": 1},
        lambda s: {"generator": s, "epoch": 1},
    ],
)
def test_tensors_are_found_inside_what_training_scripts_save(tmp_path, wrap):
    state = random_state()
    torch.save(wrap(state), tmp_path / "net.pt")
    assert equal(read_state(tmp_path / "net.pt"), state)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module."]
)
def test_prefixes_of_wrappers_are_taken_off(tmp_path, prefix):
    state = random_state()
    torch.save({"state_dict": prefixed(prefix, state)}, tmp_path / "net.pt")
    assert equal(read_state(tmp_path / "net.pt"), state)


def test_compiled_part_of_a_network_gets_its_own_name_back(tmp_path):
    torch.save({"head.w": torch.ones(1), "body._orig_mod.w": torch.ones(2)}, tmp_path / "net.pt")
    assert list(read_state(tmp_path / "net.pt")) == ["head.w", "body.w"]


def test_module_that_only_some_names_carry_is_part_of_the_name(tmp_path):
    state = {"module.weight": torch.ones(1), "head.weight": torch.ones(2)}
    torch.save(state, tmp_path / "net.pt")
    assert equal(read_state(tmp_path / "net.pt"), state)


def test_names_that_would_collide_are_left_as_they_are(tmp_path):
    state = {"_orig_mod.w": torch.ones(1), "w": torch.zeros(1)}
    torch.save(state, tmp_path / "net.pt")
    assert equal(read_state(tmp_path / "net.pt"), state)


def test_averaged_model_of_torch_is_read(tmp_path):
    model = network()
    averaged = torch.optim.swa_utils.AveragedModel(model)
    torch.save(averaged.state_dict(), tmp_path / "net.pt")
    assert equal(read_state(tmp_path / "net.pt"), model.state_dict())


def test_missing_folder_and_empty_are_refused(tmp_path):
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "empty.pt").touch()
    assert "No such file" in read_refusal(tmp_path / "missing.pt")
    assert "directory" in read_refusal(tmp_path / "folder.pt")
    assert "empty" in read_refusal(tmp_path / "empty.pt")


@pytest.mark.parametrize("suffix", [".pt", ".t7", ".safetensors"])
@pytest.mark.parametrize(
    "content",
    [
        b"hello world\n" * 20,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        b"<!DOCTYPE html>\n<html></html>",
        bytes(range(256)) * 8,
        b"\x80",
    ],
)
def test_files_of_another_kind_are_refused(tmp_path, suffix, content):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    assert "no readable checkpoint" in read_refusal(path)


@pytest.mark.parametrize("kept", [0.01, 0.3, 0.8, 0.999])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_truncated_files_are_refused(tmp_path, kind, kept):
    path = tmp_path / ("net.safetensors" if kind == "safetensors" else "net.pt")
    state = {"weight": torch.randn(100, 100)}
    if kind == "safetensors":
        write_state(path, state, {})
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert "no readable checkpoint" in read_refusal(path)


class Hostile:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("kind", ["zip", "legacy", "bare"])
def test_hostile_pickle_is_refused_and_does_not_run(tmp_path, kind):
    path, target = tmp_path / "net.pt", tmp_path / "harm"
    content = {"state_dict": {"weight": torch.ones(1)}, "extra": Hostile(target)}
    if kind == "bare":
        path.write_bytes(pickle.dumps(Hostile(target), protocol=2))
        assert pickle.loads(path.read_bytes()) is None
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
        torch.load(path, weights_only=False)
    target.rmdir()  # it was armed: an unsafe reader makes the folder
    assert "mkdir" in read_refusal(path)
    assert not target.exists()


def test_hostile_tar_of_old_torch_is_refused_and_does_not_run(tmp_path):
    path, target = tmp_path / "net.pt", tmp_path / "harm"
    content = pickle.dumps(Hostile(target), protocol=2)
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(TypeError):
        torch.load(path, weights_only=False)
    target.rmdir()  # it was armed
    assert "no readable checkpoint" in read_refusal(path)
    assert not target.exists()


def test_whole_pickled_network_is_refused_with_what_to_save_instead(tmp_path):
    torch.save(network(), tmp_path / "net.pt")
    assert "save model.state_dict()" in read_refusal(tmp_path / "net.pt")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_archive_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(tmp_path / "net.pt"))
    assert "no readable checkpoint" in read_refusal(tmp_path / "net.pt")


def endless():
    loop = {}
    loop["state_dict"] = loop
    return loop


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"epoch": 3, "lr": 0.1}, "['epoch', 'lr']"),
        ([torch.ones(2)], "list"),
        (torch.ones(2), "Tensor"),
        ({}, "[]"),
        (endless(), "['state_dict']"),
    ],
)
def test_files_without_tensors_by_name_are_refused(tmp_path, content, found):
    path = tmp_path / "net.pt"
    torch.save(content, path)
    assert found in read_refusal(path)
