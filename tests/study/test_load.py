import copy
from pathlib import Path
from typing import Literal

import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.study.config import GridConfig, Study
from losscape_mpi.study.load import apply_overrides, dump_study, load_study, read_yaml, validate
from losscape_mpi.study.section import Section

TEXT = """
name: small
problem:
  model: mlp
  checkpoint: weights/a.pt
  data: {name: cifar10, root: ../images}
plane: {seed: 3}
grid: {alpha: [-1, 1, 5], beta: null}
output: runs/small.h5
"""


@pytest.fixture
def study_file(tmp_path):
    folder = tmp_path / "a folder" / "configs"
    folder.mkdir(parents=True)
    path = folder / "small.yaml"
    path.write_text(TEXT)
    return path


def message_of(path, overrides=()):
    with pytest.raises(UserError) as caught:
        load_study(path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_values_of_the_file_and_defaults_are_in_the_study(study_file):
    study = load_study(study_file)
    assert (study.name, study.plane.seed, study.plane.normalize) == ("small", 3, "filter")
    assert study.grid.beta is None
    assert study.metrics == ["loss", "accuracy"]


def test_input_paths_are_relative_to_the_file_and_output_stays(study_file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    study = load_study(study_file.relative_to(tmp_path))
    assert study.problem.checkpoint == study_file.parent / "weights" / "a.pt"
    assert study.problem.data.root == tmp_path / "a folder" / "images"
    assert study.output == Path("runs/small.h5")


def test_paths_in_overrides_are_relative_to_the_current_folder(study_file, monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    overrides = ["problem.checkpoint=b.pt", "plane={kind: file, path: d.h5}", "output=x.h5"]
    study = load_study(study_file, overrides)
    assert study.problem.checkpoint == elsewhere / "b.pt"
    assert study.plane.path == elsewhere / "d.h5"
    assert study.problem.data.root == tmp_path / "a folder" / "images"
    assert study.output == Path("x.h5")


def test_every_path_of_a_plane_is_relative_to_the_file(study_file):
    folder = study_file.parent

    def plane_of(text):
        study_file.write_text(TEXT.replace("{seed: 3}", text))
        return load_study(study_file).plane

    assert plane_of("{kind: target, targets: [a.pt, ../b.pt]}").targets == [
        folder / "a.pt",
        folder.parent / "b.pt",
    ]
    assert plane_of("{kind: pca, checkpoints: path}").checkpoints == folder / "path"
    listed = plane_of("{kind: pca, checkpoints: [1.pt, 2.pt]}").checkpoints
    assert listed == [folder / "1.pt", folder / "2.pt"]
    mixed = plane_of("{alpha: {kind: target, targets: [a.pt]}, beta: {kind: file, path: d.h5}}")
    assert mixed.alpha.targets == [folder / "a.pt"]
    assert mixed.beta.path == folder / "d.h5"


def test_a_linked_checkpoint_keeps_its_name(study_file, tmp_path):
    (study_file.parent / "weights").mkdir()
    (tmp_path / "blob").write_bytes(b"")
    (study_file.parent / "weights" / "a.pt").symlink_to(tmp_path / "blob")
    assert load_study(study_file).problem.checkpoint.name == "a.pt"


def test_home_folder_is_known(study_file, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    study = load_study(study_file, ["problem.data.root=~/images"])
    assert study.problem.data.root == tmp_path / "images"


def test_without_a_file_or_with_the_word_digits_the_study_is_the_built_in_one(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    study = load_study(None)
    assert study == load_study(Path("digits"))
    assert study.name == "digits"
    assert study.grid.alpha == study.grid.beta == (-1.0, 1.0, 25)
    assert study.problem.checkpoint.is_absolute()
    assert study.problem.checkpoint.name == "digits.safetensors"


def test_a_file_named_digits_comes_before_the_built_in_study(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("digits").write_text(TEXT)
    assert load_study(Path("digits")).name == "small"


def test_overrides_replace_values_and_the_last_one_counts(study_file):
    overrides = [
        "grid.alpha=[-2, 2, 7]",
        "grid.beta=[0, 1e-1, 3]",
        "metrics=[accuracy]",
        "metrics=[loss]",
        "problem.model_args.width=7",
        "evaluation.batch_size = 100",
        "name=a=b",
    ]
    study = load_study(study_file, overrides)
    assert study.grid.alpha == (-2.0, 2.0, 7)
    assert study.grid.beta == (0.0, 0.1, 3)
    assert study.metrics == ["loss"]
    assert study.problem.model_args == {"width": 7}
    assert study.evaluation.batch_size == 100
    assert study.name == "a=b"


def test_overrides_leave_the_given_mapping_alone():
    raw = {"name": "a", "grid": {"alpha": [0, 1, 2]}}
    before = copy.deepcopy(raw)
    changed = apply_overrides(raw, ["grid.beta=null", "plane.seed=1"], Study)
    assert raw == before
    assert changed["grid"] == {"alpha": [0, 1, 2], "beta": None}


def test_a_dumped_study_is_read_back_equal(study_file, tmp_path):
    tricky = "{a: 1e-3, b: '1e-3', c: 'no', d: [1, {e: null}], f: '010', g: 1.0e+300}"
    study = load_study(study_file, [f"problem.model_args={tricky}", "name='1:30 # \"x\"'"])
    copied = tmp_path / "copy.yaml"
    copied.write_text(dump_study(study))
    assert load_study(copied) == study


def test_a_dumped_study_shows_every_default(study_file):
    text = dump_study(load_study(study_file))
    for key in ("normalize: filter", "precision: float32", "share_gpu: false", "loss: cross_e"):
        assert key in text


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("problem.modle=x", "problem.modle: unknown key, did you mean problem.model?"),
        ("seed=3", "seed: unknown key, did you mean problem.data.seed or plane.seed"),
        ("foo=1", "foo: unknown key, expected one of name, problem, plane, grid, path, metrics"),
        ("grid.alpha.low=3", "grid.alpha is one value without keys, set grid.alpha=..."),
        ("grid.beta", "expected KEY=VALUE"),
        ("grid.beta=", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("grid..beta=3", "expected KEY=VALUE"),
        ("grid.beta=[1", "expected valid YAML"),
    ],
)
def test_a_wrong_override_is_named(study_file, override, line):
    message = message_of(study_file, [override])
    assert message.startswith(f"--set {override}: ")
    assert line in message


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "plane.kind=qrr",
            "plane.kind: found \"qrr\", expected 'random', 'rademacher', 'adaptive'",
        ),
        (
            "problem.data.splits=[train, val]",
            "problem.data.splits[1]: found \"val\", expected 'train' or 'test'",
        ),
        ("problem.data.splits=[]", "problem.data.splits: found [], expected at least 1 item"),
        ("problem.data.splits=train", 'problem.data.splits: found "train", expected a list'),
        ("plane.seed=-1", "plane.seed: found -1, expected a number of at least 0"),
        ("plane.seed=1e-3", "plane.seed: found 0.001, expected a whole number"),
        (
            "evaluation.batch_size=many",
            "evaluation.batch_size: found \"many\", expected a whole number or 'auto'",
        ),
        (
            "evaluation.batch_size=0",
            "evaluation.batch_size: found 0, expected a number above 0 or 'auto'",
        ),
        ("grid.alpha=[-1, 1]", "grid.alpha: found [-1, 1], expected axis 0: [low, high, points]"),
        ("grid.alpha=[-1, 1, 5, 6]", "grid.alpha: found [-1, 1, 5, 6], expected at most 3 items"),
        ("grid.alpha=[1, -1, 5]", "grid.alpha: found the range [1.0, -1.0], expected low < high"),
        ("grid.alpha=[-1, x, 5]", 'grid.alpha[1]: found "x", expected a number'),
        ("plane=3", "plane: found 3, expected a mapping of keys"),
        ("plane.kind=file", "plane: expected path with kind: file"),
        (
            "plane={kind: target, targets: [a.pt], seed: 3}",
            "plane: found seed: 3, which kind: target does not use, expected it with random, ",
        ),
        ("name=56", "name: found 56, expected text"),
        ("problem.data.mean=[.nan]", "problem.data.mean[0]: found NaN, expected a finite number"),
        ("metrics=[loss, loss]", "metrics: found ['loss', 'loss'], expected each name once"),
        ("problem.checkpoint=5", "problem.checkpoint: found 5, expected a path"),
        (
            "problem={modle: mlp, data: {name: digits}}",
            "problem.modle: unknown key, did you mean problem.model? (and 1 more)",
        ),
        (
            "evaluation.batch_size={a: 1}",
            "evaluation.batch_size: found {\"a\": 1}, expected a whole number or 'auto'",
        ),
        ("problem.data={root: x}", "problem.data.name: missing, expected cifar10, digits"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_found_and_expected(study_file, override, line):
    message = message_of(study_file, [override])
    assert message.startswith(f"{study_file} with --set: ")
    assert line in message


def test_an_override_below_a_plain_value_is_refused(study_file):
    message = message_of(study_file, ["problem.data=cifar10", "problem.data.root=x"])
    assert 'problem.data: "cifar10", expected a mapping' in message


def test_a_missing_file_is_answered_with_the_built_in_name(tmp_path):
    message = message_of(tmp_path / "no.yaml")
    assert str(tmp_path / "no.yaml") in message
    assert "digits" in message


def test_a_folder_is_refused(tmp_path):
    assert "expected a YAML file" in message_of(tmp_path)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "found an empty file, expected a mapping"),
        ("- 1\n- 2\n", "found [1, 2], expected a mapping"),
        ("name: [", "expected valid YAML"),
        ("name: a\nname: b\n", "found the key 'name' twice"),
        ("1: a\n", "[1]: found 1, expected a key that is text"),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path, text, part):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    message = message_of(path)
    assert message.startswith(f"{path}: ")
    assert part in message


def test_misspelt_keys_of_a_file_come_before_missing_ones(study_file):
    study_file.write_text(TEXT.replace("problem:", "problm:"))
    message = message_of(study_file)
    assert message == (f"{study_file}: problm: unknown key, did you mean problem? (and 1 more)")


def test_the_three_steps_work_for_another_model(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("alpha: [0, 1, 3]\n")
    raw = apply_overrides(read_yaml(path), ["beta=null"], GridConfig)
    assert validate(GridConfig, raw, str(path)).alpha == (0.0, 1.0, 3)
    with pytest.raises(UserError, match="gamma: unknown key"):
        apply_overrides(raw, ["gamma=1"], GridConfig)


class Steps(Section):
    at: list[int]
    factor: float = 0.1


class Recipe(Section):
    rate: Steps | Literal["constant"] = "constant"


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ({"rate": {"att": [1]}}, "rate.att: unknown key, did you mean rate.at? (and 2 more)"),
        ({"rate": {}}, "rate.at: missing, expected a value (and 1 more)"),
        (
            {"rate": "linear"},
            "rate: found \"linear\", expected a mapping of keys or 'constant'",
        ),
        ({"rate": {"at": ["x"]}}, 'rate.at[0]: found "x", expected a whole number (and 1 more)'),
    ],
)
def test_sections_in_unions_are_named_too(raw, line):
    with pytest.raises(UserError) as caught:
        validate(Recipe, raw, "recipe.yaml")
    assert str(caught.value).startswith(f"recipe.yaml: {line}")


def test_an_override_reaches_a_section_in_a_union():
    raw = apply_overrides({}, ["rate.at=[3]"], Recipe)
    assert validate(Recipe, raw, "recipe.yaml").rate == Steps(at=[3])
