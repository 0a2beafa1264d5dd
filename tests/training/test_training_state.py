"""A training that is saved, thrown away and taken up again: the same bits, by data alone."""

import numpy as np
import pytest
import torch
from safetensors import safe_open
from small_recipes import parameters, recipe, trained

from losscape_mpi.errors import UserError
from losscape_mpi.problem.build import build_problem
from losscape_mpi.training.loop import train
from losscape_mpi.training.session import begin, reproducible
from losscape_mpi.training.state_file import restore, save

DIGITS = {"model": "digits_resnet", "data": {"name": "digits", "samples": 60, "splits": ["train"]}}
DROPOUT = """
from torch import nn
def model():
    return nn.Sequential(nn.Linear(2, 16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, 3))
"""
RECIPES = {
    "sgd": {"problem": DIGITS, "lr": 0.1},
    "sgd without momentum": {"momentum": 0.0, "nesterov": False},
    "adam": {"problem": DIGITS, "optimizer": "adam", "lr": 1e-3},
    "sam": {"problem": DIGITS, "optimizer": "sam", "lr": 0.1},
    "augmentation": {"problem": DIGITS, "lr": 0.1, "augment": {"crop": 1, "flip": True}},
    "wrong labels": {"problem": DIGITS, "lr": 0.1, "label_noise": {"fraction": 0.5}},
    "dropout": {"problem": {"model": "dropout_code:model"}},
}


@pytest.fixture(autouse=True)
def _code(tmp_path, monkeypatch):
    (tmp_path / "dropout_code.py").write_text(DROPOUT)
    monkeypatch.chdir(tmp_path)


def stopped_at(config, step, path):
    """Train up to a step and save there, as a process that then ends."""
    with reproducible(config):
        session = begin(build_problem(config.problem), config)
        train(session, lambda: session.step == step)
        save(session, path)


def taken_up(config, path):
    with reproducible(config):
        session = begin(build_problem(config.problem), config)
        restore(session, path)
        train(session, lambda: False)
    return session


@pytest.mark.parametrize("step", [0, 1, 3, 4])  # before, in and between epochs of 3 steps
@pytest.mark.parametrize("kind", RECIPES)
def test_the_same_bits_as_undisturbed(kind, step, tmp_path):
    config = recipe(**{"batch_size": 20, **RECIPES[kind]})
    whole = parameters(trained(config))

    stopped_at(config, step, tmp_path / "it_state.safetensors")
    torch.manual_seed(99)  # the next process draws other numbers
    resumed = taken_up(config, tmp_path / "it_state.safetensors")

    assert (resumed.epoch, resumed.step) == (3, 9)
    assert all(torch.equal(value, whole[name]) for name, value in parameters(resumed).items())


@pytest.mark.parametrize("part", ["optimizer/0/momentum_buffer", "random/shuffles"])
def test_each_part_of_the_state_matters(part, tmp_path):
    from safetensors.torch import load_file, save_file

    config, path = recipe(batch_size=20), tmp_path / "it_state.safetensors"
    whole = parameters(trained(config))
    stopped_at(config, 4, path)
    with safe_open(path, "pt") as file:
        texts = file.metadata()
    tensors = load_file(path)
    tensors[part] = (
        torch.zeros_like(tensors[part])
        if part.startswith("optimizer")
        else torch.Generator().manual_seed(5).get_state()
    )
    save_file(tensors, path, texts)

    resumed = parameters(taken_up(config, path))

    assert any(not torch.equal(value, whole[name]) for name, value in resumed.items())


def test_the_file_holds_tensors_and_text_only(tmp_path):
    path = tmp_path / "it_state.safetensors"
    stopped_at(recipe(batch_size=20), 4, path)

    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    assert content[8:9] == b"{"
    with safe_open(path, "np") as file:
        names = set(file.keys())
        stored = sum(file.get_tensor(name).nbytes for name in names)
    assert len(content) == 8 + size + stored  # nothing beside header and tensors
    assert {"model/linear.weight", "optimizer/1/momentum_buffer", "random/torch"} <= names
    assert np.frombuffer(content[8 : 8 + size], "u1").max() < 128


def test_measured_rows_come_back(tmp_path):
    config, path = recipe(), tmp_path / "it_state.safetensors"
    with reproducible(config):
        session = begin(build_problem(config.problem), config)
        session.rows.append({"epoch": 0, "train/loss": float("nan"), "test/loss": 0.1 + 0.2})
        save(session, path)
        again = begin(build_problem(config.problem), config)
        restore(again, path)

    assert np.isnan(again.rows[0].pop("train/loss"))
    assert again.rows == [{"epoch": 0, "test/loss": 0.1 + 0.2}]


def test_a_damaged_state_and_one_of_another_network_are_refused(tmp_path):
    config, path = recipe(batch_size=20), tmp_path / "it_state.safetensors"
    stopped_at(config, 4, path)
    with pytest.raises(UserError, match=r"no state of this training .* pass --fresh"):
        taken_up(recipe(problem={"model": "mlp"}), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="no readable checkpoint"):
        taken_up(config, path)


def test_a_stopped_training_saves_the_same_bytes_again(tmp_path):
    config = recipe(batch_size=20)
    for name in ("a", "b"):
        stopped_at(config, 4, tmp_path / f"{name}.safetensors")

    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.slow
def test_two_threads_give_the_same_bits_undisturbed_and_taken_up(tmp_path):
    config = recipe(problem=DIGITS, lr=0.1, threads=2, batch_size=20)
    whole = parameters(trained(config))

    stopped_at(config, 4, tmp_path / "it_state.safetensors")
    resumed = parameters(taken_up(config, tmp_path / "it_state.safetensors"))

    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())
