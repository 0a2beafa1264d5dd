"""Every number of a file and of a command line: what is none is refused in one line."""

from typing import get_args

import pytest
import yaml

from losscape_mpi import animate, render, status, train, watch
from losscape_mpi.batch.config import JobConfig
from losscape_mpi.errors import UserError
from losscape_mpi.study.config import Study
from losscape_mpi.study.explain import section_model
from losscape_mpi.study.load import apply_overrides, dump_study, load_study, validate
from losscape_mpi.training.config import TrainConfig

STUDY = yaml.safe_load(dump_study(load_study(None)))
RECIPE = {
    "problem": STUDY["problem"],
    "epochs": 1,
    "output": "x.safetensors",
    "path": {"folder": "x"},
    "augment": {},
    "label_noise": {"fraction": 0.1},
    "schedule": {"milestones": [1]},
}
JOB = {"study": ["a.yaml"], "time": "10", "then": {}}
FILES = {Study: STUDY, TrainConfig: RECIPE, JobConfig: JOB}
NO_NUMBERS = (".nan", ".inf", "-.inf", "1e400", "-1e400", "''", "true", "[true, 1]", "x")
MAY_BE_ZERO = {
    *("problem.data.seed", "plane.seed", "plane.alpha.seed", "plane.beta.seed"),
    *("evaluation.anchors.seed", "farm.retries", "weight_decay", "augment.crop"),
    *("label_noise.seed", "seed", "init_seed", "save_s", "gpus_per_node", "momentum"),
    "then.clip",
}
MAY_BE_NEGATIVE = {"then.clip"}


def holds_numbers(annotation):
    return annotation in (int, float) or any(map(holds_numbers, get_args(annotation)))


def number_keys(model, parents=()):
    """The dotted keys of all numbers of a model and its sections."""
    for key, field in model.model_fields.items():
        if section := section_model(model, key):
            yield from number_keys(section, (*parents, key))
        elif holds_numbers(field.annotation):
            yield ".".join((*parents, key))


NUMBERS = [(model, key) for model in FILES for key in number_keys(model)]


def test_the_numbers_of_all_files_are_found():
    keys = {key for _, key in NUMBERS}
    assert {"problem.data.samples", "farm.point_timeout", "lr", "nodes", "then.dpi"} <= keys
    assert len(NUMBERS) >= 30


def refusal(model, key, text):
    """What is said of a value; empty where it is taken."""
    try:
        validate(model, apply_overrides(FILES[model], [f"{key}={text}"], model), "file.yaml")
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("model", "key"), NUMBERS)
def test_what_is_no_number_is_refused_in_one_line_that_names_the_key(model, key):
    for text in NO_NUMBERS:
        said = refusal(model, key, text)
        assert key.split(".")[-1] in said, text
        assert "expected" in said
        assert "\n" not in said


@pytest.mark.parametrize(("model", "key"), NUMBERS)
def test_zero_and_less_are_refused_where_they_mean_nothing(model, key):
    assert bool(refusal(model, key, "0")) or key in MAY_BE_ZERO
    assert bool(refusal(model, key, "-1")) or key in MAY_BE_NEGATIVE


COUNTS = ("0", "-1", "2.5", "1e3", "nan", "inf", "1e400", "", "x", "٣", "9" * 30)
SECONDS = ("0", "-1", "nan", "inf", "-inf", "1e400", "", "x", "1e10")
OPTIONS = [
    *((render.main, ["s.h5"], option, COUNTS) for option in ("--dpi", "--rows")),
    (render.main, ["s.h5"], "--levels", ("0", "nan", "inf", "1e400", "", "x", "1,nan", "1,,2")),
    (render.main, ["s.h5"], "--clip", ("nan", "", "x")),
    (render.main, ["s.h5"], "--limits", ("1,1", "2,1", "0,nan", "0,inf", "0,1e400", "", "1")),
    (render.main, ["s.h5"], "--view", ("nan,0", "inf,0", "1", "1,2,3", "")),
    (render.main, ["s.h5"], "--size", ("0x0", "-1x5", "nanx5", "infx5", "1e400x5", "", "6")),
    (render.main, ["s.h5"], "--axes", ("0:1:0", "0:1:-1", "nan:1:3", "0:inf:3", "0:1e400:3", "")),
    (render.main, ["s.h5"], "--watch", SECONDS),
    (status.main, ["s.h5"], "--watch", SECONDS),
    (watch.main, ["s.h5"], "--every", SECONDS),
    (watch.main, ["s.h5"], "--port", (*COUNTS[1:], "65536")),
    (train.main, ["r.yaml"], "--jobs", COUNTS),
    (animate.main, ["r.yaml"], "--jobs", COUNTS),
    (animate.main, ["r.yaml"], "--points", (*COUNTS, "2")),
    (animate.main, ["r.yaml"], "--fps", (*COUNTS, "51")),
]


@pytest.mark.parametrize(("main", "words", "option", "texts"), OPTIONS)
def test_a_number_of_a_command_line_is_checked_before_anything_is_done(main, words, option, texts):
    for text in texts:
        with pytest.raises(UserError, match=f"{option}.*expected") as found:
            main([*words, f"{option}={text}"])
        assert "\n" not in str(found.value), text
