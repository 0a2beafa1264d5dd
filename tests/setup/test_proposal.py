"""The networks of the zoo that a checkpoint fits, told without running its code."""

import pytest
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.problem.zoo.registry import build
from losscape_mpi.setup.proposal import look_into
from losscape_mpi.study.load import BUILTIN_FOLDER

IMAGE = (3, 32, 32)


@pytest.fixture
def saved(tmp_path):
    """A function that saves a zoo network's state in a file, wrapped as a training might."""

    def save(model, name="net.pt", wrap=lambda state: state, sample=IMAGE, classes=10):
        path = tmp_path / name
        torch.save(wrap(build(model, sample, classes).state_dict()), path)
        return path

    return save


def proposed(path):
    return [proposal.model for proposal in look_into(path).proposals]


def test_the_built_in_checkpoint_is_known():
    look = look_into(BUILTIN_FOLDER / "digits.safetensors")
    (found,) = look.proposals
    assert (found.model, found.data, found.num_classes) == ("digits_resnet", "digits", 10)
    assert look.num_tensors == 56


@pytest.mark.parametrize("model", ["resnet20", "wrn56_2", "vgg9", "allcnn9_bn", "densenet121"])
def test_a_network_of_the_zoo_is_found_among_all(saved, model):
    assert model in proposed(saved(model))


def test_wrappers_and_other_numbers_of_classes_are_seen_through(saved):
    def wrap(state):
        return {
            "epoch": 3,
            "state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
        }

    look = look_into(saved("resnet20", wrap=wrap, classes=100))
    assert [(p.model, p.data, p.num_classes) for p in look.proposals] == [
        ("resnet20", "cifar10", 100)
    ]


def test_the_name_of_the_file_decides_between_equal_networks(saved):
    assert proposed(saved("resnet20_noshort", "my_resnet20_noshort.pt"))[0] == "resnet20_noshort"
    assert proposed(saved("resnet20_noshort", "my_resnet20_a.pt"))[0] == "resnet20_a"


def test_data_are_proposed_by_the_shape_of_the_first_layer(saved):
    (found,) = look_into(saved("logistic", sample=(2,), classes=3)).proposals
    assert (found.model, found.data, found.num_classes) == ("logistic", "spirals", 3)


def test_a_foreign_network_fits_none(tmp_path):
    torch.save(torch.nn.Linear(3, 4).state_dict(), tmp_path / "x.pt")
    look = look_into(tmp_path / "x.pt")
    assert (look.proposals, look.first, look.num_values) == ([], "weight", 16)


def test_parts_that_hold_different_networks_are_named_and_equal_ones_are_not(tmp_path):
    state = build("resnet20", IMAGE, 10).state_dict()
    other = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"model": state, "ema": other, "optimizer": {}}, tmp_path / "two.pt")
    torch.save({"model": state, "ema": state}, tmp_path / "same.pt")
    assert look_into(tmp_path / "two.pt").keys == ["model", "ema"]
    assert look_into(tmp_path / "same.pt").keys == []


class Bomb:
    def __reduce__(self):
        return (eval, ("open('ran', 'w').close()",))


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.zeros(2), "bomb": Bomb()}, "bomb.pt")
    with pytest.raises(UserError):
        look_into(tmp_path / "bomb.pt")
    assert not (tmp_path / "ran").exists()


def test_the_authors_own_networks_are_known(shared):
    folder = shared / "data" / "checkpoints"
    assert proposed(folder / "resnet56.t7") == ["resnet56"]
    assert proposed(folder / "resnet56_noshort.t7")[0] == "resnet56_noshort"
    assert proposed(folder / "resnet20_optionA.th")[0] == "resnet20_a"
