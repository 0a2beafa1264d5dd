"""Recipes: what is refused, and what of one makes a training another."""

import hashlib
import json
import re

import pytest
from small_recipes import recipe

from losscape_mpi.errors import MismatchError
from losscape_mpi.training.config import TrainConfig, load_recipe
from losscape_mpi.training.identity import recipe_identity, refuse_other_training

# SHA-256 of the identities, computed by the first edition: its trainings are still to be resumed.
IDENTITIES = {
    "allcnn9_bn.yaml": "ff80fbdbccf047e6886002b5ac2b316eb0f1d846175f742a5ec69dc80710a01f",
    "digits_adam.yaml": "ea36d80cc484933283d328762110c17e0d978505550a2b4654590cb3c274765a",
    "digits_sam.yaml": "823a3d532505a7c831fa4bc067fb679ba201fc3806af0b9c95a6fe0c9e0b6650",
    "resnet56.yaml": "3d6b9e209503d7b8d5bca084ba587469dc41549b68861633374e15872e3ca63c",
    "spirals/mlp_1x5.yaml": "dd8378503078da0545e364502c8892bb6e6b44c7d7efb0e5231bb134b97b256a",
    "vgg9_large_batch.yaml": "f51a5ea23a005bd35b295e8deecb430773087a1bf54423e82ea3381e0e81bd5b",
}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"output": "it.pt"}, "found it.pt, expected a name that ends .safetensors"),
        ({"momentum": 0.0}, "momentum 0 with nesterov"),
        ({"problem": {"data": {"name": "digits", "splits": ["test"]}}}, "expected train among"),
        ({"schedule": "linear"}, "cosine"),
        ({"schedule": {"milestones": [], "factor": 0.1}}, "at least 1 item"),
        ({"learning_rate": 0.1}, "Extra inputs are not permitted"),
        ({"rho": 0.1}, "found rho with optimizer sgd, expected it with sam only"),
        ({"optimizer": "adam", "momentum": 0.5}, "expected it with sgd or sam only"),
        ({"label_noise": {"fraction": 0.0}}, "greater than 0"),
        ({"augment": {"rotate": True}}, "Extra inputs are not permitted"),
        ({"path": {"folder": "there", "unit": "minute"}}, "'epoch' or 'step'"),
        ({"threads": 0}, "greater than 0"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        recipe(**settings)


def test_adam_has_no_rate_of_its_own():
    problem = recipe().problem.model_dump()
    with pytest.raises(ValueError, match="found optimizer adam without lr"):
        TrainConfig(problem=problem, epochs=1, optimizer="adam", output="it.safetensors")


def test_the_recipes_in_configs_are_valid_and_write_to_places_of_their_own(repository):
    files = sorted((repository / "configs" / "train").rglob("*.yaml"))
    configs = [load_recipe(file) for file in files]

    places = [config.output for config in configs]
    places += [config.path.folder for config in configs if config.path is not None]
    assert len(files) > 10
    assert len(set(places)) == len(places)
    assert all(str(place).startswith("runs/") for place in places)


def test_settings_at_the_defaults_of_later_releases_leave_the_old_identity():
    keys = {"batch_size", "epochs", "lr", "momentum", "nesterov", "problem", "schedule", "seed"}
    assert recipe_identity(recipe()).keys() == keys | {"weight_decay"}


@pytest.mark.parametrize("name", IDENTITIES)
def test_the_identity_of_a_recipe_is_that_of_the_first_edition(repository, name):
    found = recipe_identity(load_recipe(repository / "configs" / "train" / name))
    text = json.dumps(found, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == IDENTITIES[name]


def header(config, start="a"):
    return {"recipe": json.dumps(recipe_identity(config)), "start": json.dumps({"center": start})}


SAME = [
    {"output": "other.safetensors"},
    {"save_s": 3.0},
    {"optimizer": "sgd"},
    {"threads": 1},
]


@pytest.mark.parametrize("settings", SAME, ids=str)
def test_what_changes_no_bit_may_change(settings):
    refuse_other_training("it", header(recipe()), recipe(**settings), {"center": "a"})


def test_a_path_may_move_and_its_distance_may_not():
    paths = [{"folder": f, "every": e} for f, e in (("here", 1), ("there", 1), ("there", 2))]
    here, there, rarer = (recipe(path=path) for path in paths)

    refuse_other_training("it", header(here), there, {"center": "a"})
    with pytest.raises(MismatchError, match=re.escape("path.every: found 1, wanted 2")):
        refuse_other_training("it", header(here), rarer, {"center": "a"})


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"lr": 0.4}, "lr: found 0.5, wanted 0.4"),
        ({"epochs": 4}, "epochs: found 3, wanted 4"),
        ({"seed": 1}, "seed: found 0, wanted 1"),
        ({"optimizer": "sam"}, 'optimizer: found nothing, wanted "sam"'),
        ({"augment": {"crop": 2}}, "augment.crop: found nothing, wanted 2"),
        ({"label_noise": {"fraction": 0.5}}, "label_noise.fraction: found nothing, wanted 0.5"),
        ({"threads": 2}, "threads: found nothing, wanted 2"),
        ({"problem": {"model": "mlp"}}, 'problem.model: found "logistic", wanted "mlp"'),
    ],
)
def test_what_changes_a_bit_is_refused_by_name(settings, named):
    with pytest.raises(MismatchError, match=re.escape(named)) as caught:
        refuse_other_training("it", header(recipe()), recipe(**settings), {"center": "a"})
    assert "--fresh" in str(caught.value)


def test_other_data_and_files_of_others_are_refused():
    with pytest.raises(MismatchError, match=r'start\.center: found "a", wanted "b"'):
        refuse_other_training("it", header(recipe()), recipe(), {"center": "b"})
    with pytest.raises(MismatchError, match="it was not written by this command"):
        refuse_other_training("it", {"epoch": "3"}, recipe(), {"center": "a"})
