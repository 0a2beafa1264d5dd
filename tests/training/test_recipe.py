"""Recipes: what is refused, and what of one makes a training another."""

import json
import re

import pytest
from small_recipes import recipe

from losscape_mpi.errors import MismatchError
from losscape_mpi.training.config import TrainConfig, load_recipe
from losscape_mpi.training.identity import recipe_identity, refuse_other_training


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
