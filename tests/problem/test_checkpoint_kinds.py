"""Checkpoints are told by their content: any name, any wrapper, and what is none is named."""

import argparse
import collections
import datetime
import io
import json
import os
import pathlib
import pickle
import shutil
import tarfile
import types
import zipfile

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.problem.checkpoint import checkpoint_sha256, load_checkpoint, read_state
from losscape_mpi.problem.checkpoint_file import read_states
from losscape_mpi.problem.zoo.registry import build

NAMES = ["a.ckpt", "model_best.pth.tar", "pytorch_model.bin", "net.pkl", "net.t7", "checkpoint"]


def network():
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


def trained():
    torch.manual_seed(3)
    return network()


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def loads(path, want, key=None):
    model = network()
    load_checkpoint(model, path, key, is_center=True)
    return equal(model.state_dict(), want.state_dict())


def refusal(path, key=None):
    with pytest.raises(UserError) as caught:
        load_checkpoint(network(), path, key, is_center=True)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_checkpoint_may_have_any_name(tmp_path, name, form):
    state, path = trained().state_dict(), tmp_path / name
    if form == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    assert equal(read_state(path), state)


def test_torch_file_that_is_called_safetensors_is_read_for_what_it_is(tmp_path):
    torch.save(trained().state_dict(), tmp_path / "net.safetensors")
    assert loads(tmp_path / "net.safetensors", trained())


@pytest.mark.parametrize("name", ["model_best.pth.tar", "resnet.ckpt", "pytorch_model.bin", "x"])
def test_genuine_network_gives_its_loss_under_any_name(shared, tmp_path, name):
    shutil.copy(shared / "data/checkpoints/resnet20_optionA.th", tmp_path / name)
    with (shared / "data/cifar-10-batches-py/data_batch_1").open("rb") as file:
        batch = pickle.load(file, encoding="bytes")
    images = torch.from_numpy(batch[b"data"][:64].reshape(64, 3, 32, 32)).double() / 255
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1).double()
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1).double()
    model = build("resnet20_a", (3, 32, 32), 10)
    load_checkpoint(model, tmp_path / name)
    with torch.no_grad():
        logits = model.double().eval()((images - mean) / std)
    loss = F.cross_entropy(logits, torch.tensor(batch[b"labels"][:64])).item()
    assert loss == pytest.approx(0.003385, abs=5e-7)


class Settings(dict):
    """A dictionary class of a user's own, such as EasyDict."""


class Options:
    """A plain class of a user's own."""

    def __init__(self):
        self.lr = 0.1


HARMLESS = {
    "numpy scalar": np.float64(93.2),
    "numpy integer": np.int64(7),
    "numpy array": np.arange(3.0),
    "numpy state": np.random.RandomState(0).get_state(),
    "namespace": argparse.Namespace(lr=0.1, path=pathlib.Path("/x")),
    "simple namespace": types.SimpleNamespace(a=1),
    "ordered": collections.OrderedDict(a=1),
    "defaultdict": collections.defaultdict(list, a=[1]),
    "nested defaultdict": collections.defaultdict(collections.OrderedDict, b={}),
    "deque": collections.deque([1, 2]),
    "counter": collections.Counter("aab"),
    "time": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    "span": datetime.timedelta(3),
    "path": pathlib.PurePosixPath("/a/b"),
    "set": {1, 2},
    "frozen set": frozenset([1]),
    "class": dict,
    "own dictionary": Settings(a=1),
    "own object": Options(),
    "bytes": b"abc",
    "slice": slice(1, 2),
    "complex": 1j,
    "large number": 2**70,
}


@pytest.mark.parametrize("kind", HARMLESS)
@pytest.mark.parametrize("is_zip", [True, False])
def test_harmless_things_beside_the_parameters_do_no_harm(tmp_path, kind, is_zip):
    content = {"state_dict": trained().state_dict(), "extra": HARMLESS[kind], "epoch": 3}
    path = tmp_path / "net.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    assert loads(path, trained())


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "named"), [(os.mkdir, "mkdir"), (eval, "eval"), (shutil.rmtree, "rmtree")]
)
def test_a_call_beside_the_parameters_is_refused_by_name_and_not_made(tmp_path, function, named):
    target = tmp_path / "victim"
    text = f"__import__('os').mkdir({str(target)!r})" if function is eval else str(target)
    if function is shutil.rmtree:
        target.mkdir()
    path = tmp_path / "net.bin"
    torch.save({"state_dict": trained().state_dict(), "x": Calls(function, text)}, path)
    assert named in refusal(path)
    assert target.exists() == (function is shutil.rmtree)


@pytest.mark.parametrize("content", ["model", {"model": network(), "epoch": 1}])
def test_whole_pickled_networks_are_named(tmp_path, content):
    torch.save(network() if content == "model" else content, tmp_path / "net.pt")
    message = refusal(tmp_path / "net.pt")
    assert "Sequential" in message
    assert "save model.state_dict()" in message


def zipped(members, method=zipfile.ZIP_STORED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return content.getvalue()


def saved(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def in_tar():
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return content.getvalue()


FOREIGN = {
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n": "Git LFS pointer",
    b"<!DOCTYPE html>\n<html><body>404</body></html>": "HTML page",
    b"\n\n  <html lang='en'>": "HTML page",
    b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>": "XML text",
    b'{"error": "Repository not found"}': "server's error message",
    b'{"hidden_size": 768}': "JSON text",
    b"\x89HDF\r\n\x1a\n" + bytes(100): "HDF5",
    b"\x93NUMPY\x01\x00": "NumPy array",
    saved(np.ones(3)): "NumPy array",
    zipped({"a.npy": saved(np.ones(3))}): "NumPy arrays",
    b"\x08\x07\x12\x07pytorch\x1a\x05" + bytes(100): "ONNX",
    b"\x1f\x8b\x08" + bytes(30): "gzip",
    in_tar(): "tar archive",
    zipped({"config.json": "{}", "model.weights.h5": "x"}): "Keras",
    zipped({"net/code/x.py": "", "net/constants.pkl": "x", "net/data.pkl": "y"}): "TorchScript",
    zipped({"readme.txt": "x"}): "zip archive",
    b"GGUF" + bytes(60): "GGUF",
    b"\x18\x00\x00\x00TFL3" + bytes(60): "TensorFlow Lite",
    b"model_checkpoint_path: 'a'": "TensorFlow",
    bytes(40) + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb": "TensorFlow checkpoint",
    b"\x04\x00\x00\x00\x01\x00\x00\x00\x03\x00\x00\x00V 1\r": "Lua Torch7",
    b"hello world\n" * 20: "text that begins 'hello world",
    b"": "empty",
    pickle.dumps({"a": 1}, protocol=4): "pickle",
}


@pytest.mark.parametrize("content", FOREIGN, ids=FOREIGN.values())
@pytest.mark.parametrize("name", ["net.pt", "net.safetensors", "net"])
def test_files_of_another_kind_are_named_for_what_they_are(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    assert FOREIGN[content] in refusal(tmp_path / name)


def test_what_was_cut_short_is_said_so(tmp_path):
    torch.save(trained().state_dict(), tmp_path / "net.pt")
    save_file(trained().state_dict(), tmp_path / "net.safetensors")
    for name in ("net.pt", "net.safetensors"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        assert "cut short" in refusal(tmp_path / name)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "net.pt")
    assert "pipe" in refusal(tmp_path / "net.pt")
    with pytest.raises(UserError, match="pipe"):
        checkpoint_sha256(tmp_path / "net.pt")


def test_names_that_no_file_can_have_are_refused():
    for name in ("a\0b.pt", "\ud800.pt"):
        with pytest.raises(UserError) as caught:
            read_states(pathlib.Path(name))
        assert str(caught.value).isprintable()


def test_a_zip_that_would_inflate_is_refused_unread(tmp_path):
    torch.save({"w": torch.zeros(10)}, tmp_path / "small.pt")
    with zipfile.ZipFile(tmp_path / "small.pt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members |= {name: bytes(50_000_000) for name in members if name.endswith("data/0")}
    (tmp_path / "net.pt").write_bytes(zipped(members, zipfile.ZIP_DEFLATED))
    assert "would inflate" in refusal(tmp_path / "net.pt")


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("layout", ["coo", "csr"])
def test_sparse_parameters_are_filled_up(tmp_path, layout):
    want = trained()
    with torch.no_grad():
        want[0].weight[1] = 0
    state = want.state_dict()
    dense = state["0.weight"]
    state["0.weight"] = dense.to_sparse() if layout == "coo" else dense.to_sparse_csr()
    torch.save(state, tmp_path / "net.pt")
    assert loads(tmp_path / "net.pt", want)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_tensors_without_values_are_refused(tmp_path):
    state = trained().state_dict()
    state["0.weight"] = torch.empty(3, 4, device="meta")
    torch.save(state, tmp_path / "net.pt")
    assert "0.weight is without values (meta)" in refusal(tmp_path / "net.pt")
    state["0.weight"] = torch.quantize_per_tensor(torch.ones(3, 4), 0.1, 0, torch.qint8)
    torch.save(state, tmp_path / "net.pt")
    assert "0.weight" in refusal(tmp_path / "net.pt")


@pytest.mark.parametrize("form", ["safetensors", "bin"])
@pytest.mark.parametrize("ask", ["index", "folder"])
def test_shards_are_read_by_their_index(tmp_path, form, ask):
    state = trained().state_dict()
    stem = "model" if form == "safetensors" else "pytorch_model"
    parts = [dict(list(state.items())[:1]), dict(list(state.items())[1:])]
    places = {}
    for number, part in enumerate(parts):
        file = f"{stem}-0000{number + 1}-of-00002.{form}"
        (save_file if form == "safetensors" else torch.save)(part, tmp_path / file)
        places |= dict.fromkeys(part, file)
    index = tmp_path / f"{stem}.{form}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    path = index if ask == "index" else tmp_path
    assert loads(path, trained())
    before = checkpoint_sha256(path)
    save_file({"0.weight": state["0.weight"] + 1}, tmp_path / places["0.weight"])
    assert checkpoint_sha256(path) != before


def test_an_index_that_leads_elsewhere_or_lacks_a_tensor_is_refused(tmp_path):
    save_file(trained().state_dict(), tmp_path / "a.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    for file in ("../a.safetensors", "/etc/passwd", "..", 3, ""):
        index.write_text(json.dumps({"weight_map": {"0.weight": file}}))
        assert "beside it" in refusal(index)
    index.write_text(json.dumps({"weight_map": {"other": "a.safetensors"}}))
    assert "in no shard (first other)" in refusal(index)


def test_folder_without_a_usual_name_is_refused(tmp_path):
    assert "directory" in refusal(tmp_path)
