"""The command that trains: one recipe or several, the shipped checkpoint, mistakes in one line."""

import json
import logging
import signal
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors import safe_open

from losscape_mpi.errors import UserError
from losscape_mpi.problem.build import build_problem
from losscape_mpi.problem.checkpoint import read_state
from losscape_mpi.run.interrupt import SIGNALS
from losscape_mpi.study.config import DataConfig, ProblemConfig
from losscape_mpi.train import main
from losscape_mpi.training.measure import measure

pytestmark = pytest.mark.slow

MAX_SHIPPED_BYTES = 150_000


@pytest.fixture
def recipe(repository):
    return repository / "configs" / "train" / "digits.yaml"


@pytest.fixture
def shipped(repository):
    return repository / "losscape_mpi" / "study" / "builtin" / "digits.safetensors"


def header(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


def measured(checkpoint):
    data = DataConfig(name="digits", splits=["train", "test"])
    config = ProblemConfig(model="digits_resnet", checkpoint=checkpoint, data=data)
    return measure(build_problem(config))


def run_short(recipe, output):
    return main([str(recipe), "--set", "epochs=2", "--set", f"output={output}"])


@pytest.fixture(scope="module")
def short(repository, tmp_path_factory):
    """The checkpoint of two epochs of the recipe."""
    output = tmp_path_factory.mktemp("short") / "it.safetensors"
    assert run_short(repository / "configs" / "train" / "digits.yaml", output) == 0
    return output


def test_training_twice_gives_the_same_bytes(recipe, short, tmp_path):
    run_short(recipe, tmp_path / "again.safetensors")

    assert (tmp_path / "again.safetensors").read_bytes() == short.read_bytes()


def test_two_epochs_learn_most_digits(short):
    assert measured(short)["test/accuracy"] > 0.8


def test_the_file_says_what_made_it_and_what_it_reached(short):
    found = header(short)

    made_by = json.loads(found["recipe"])
    assert (made_by["epochs"], made_by["lr"]) == (2, 0.1)
    assert made_by["problem"]["model"] == "digits_resnet"
    assert str(short.parent) not in str(found)
    for name, value in measured(short).items():
        assert float(found[name]) == pytest.approx(value, rel=1e-6)


def test_progress_is_logged_and_the_result_is_printed(recipe, tmp_path, caplog, capsys):
    caplog.set_level(logging.INFO)
    output = tmp_path / "it.safetensors"

    few = ["--set", "problem.data.samples=50", "--set", "epochs=20"]
    main([str(recipe), *few, "--set", f"output={output}"])

    first, *_, last = caplog.messages
    assert first == f"it: 20 epochs of 1 step, {output}"
    loss = float(header(output)["train/loss"])
    assert last.startswith(f"it: 20/20, train {loss:.3g} (")
    assert len(last) < 80
    assert capsys.readouterr().out.startswith(f"{output}: train/loss {loss:.6g}, train/accuracy ")


def test_a_training_goes_on_from_a_checkpoint_beside_the_recipe(recipe, shipped, tmp_path):
    (tmp_path / "start.safetensors").write_bytes(shipped.read_bytes())
    text = recipe.read_text().replace(
        "model: digits_resnet", "model: digits_resnet\n  checkpoint: start.safetensors"
    )
    (tmp_path / "more.yaml").write_text(text)

    out = tmp_path / "it.safetensors"
    brief = ["--set", "lr=1e-9", "--set", "epochs=1", "--set", f"output={out}"]
    main([str(tmp_path / "more.yaml"), *brief])

    start, end = read_state(shipped), read_state(out)
    assert torch.allclose(start["linear.weight"], end["linear.weight"], atol=1e-6)


def test_the_shipped_checkpoint_is_small_float32_and_well_trained(shipped):
    found, state = measured(shipped), read_state(shipped)

    assert shipped.stat().st_size < MAX_SHIPPED_BYTES
    assert {value.dtype for value in state.values() if value.ndim} == {torch.float32}
    assert 1e-4 < found["train/loss"] < 1e-2
    assert found["train/accuracy"] == 1
    assert found["test/accuracy"] >= 0.97
    for name, value in found.items():
        assert float(header(shipped)[name]) == pytest.approx(value, rel=1e-4)


def test_the_shipped_checkpoint_was_made_by_the_recipe_in_configs(short, shipped):
    now = json.loads(header(short)["recipe"])
    then = json.loads(header(shipped)["recipe"])
    assert now | {"epochs": then["epochs"]} == then


def test_the_full_recipe_finds_the_shipped_checkpoint_again(recipe, shipped, tmp_path):
    output = tmp_path / "it.safetensors"
    main([str(recipe), "--set", f"output={output}"])

    again, want = measured(output), measured(shipped)
    # Other processors sum in another order, which training magnifies: half the loss, 4 digits.
    assert again["train/loss"] == pytest.approx(want["train/loss"], rel=0.5)
    assert again["train/accuracy"] == 1
    assert again["test/accuracy"] == pytest.approx(want["test/accuracy"], abs=4 / 359)
    if again == want:  # the kind of machine that made it
        assert output.read_bytes() == shipped.read_bytes()


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("epochs=0", "epochs: found 0"),
        ("epoch=3", "epoch: unknown key, did you mean epochs"),
        ("schedule=linear", "schedule: found .linear."),
        ("problem.model=digit_resnet", "found model 'digit_resnet'"),
        ("output=it.pt", "ends .safetensors"),
    ],
)
def test_a_mistake_is_one_line(recipe, override, reason):
    with pytest.raises(UserError, match=reason) as caught:
        main([str(recipe), "--set", override])
    assert "\n" not in str(caught.value)


def test_a_training_that_diverges_leaves_no_file(recipe, tmp_path):
    output = tmp_path / "it.safetensors"

    with pytest.raises(UserError, match="choose a smaller lr"):
        main([str(recipe), "--set", "lr=1e30", "--set", f"output={output}"])
    assert list(tmp_path.iterdir()) == []


def small(path, **settings):
    """Write a recipe that trains in a moment, named after its file."""
    data = {"name": "spirals", "args": {"per_arm": 20}, "splits": ["train", "test"]}
    fields = {"problem": {"model": "logistic", "data": data}, "epochs": 3, "batch_size": 20}
    fields |= {"output": str(path.with_suffix(".safetensors"))}
    path.write_text(yaml.safe_dump(fields | settings))
    return str(path)


def test_several_recipes_are_followed_although_one_cannot_be(tmp_path, capfd):
    bad = small(tmp_path / "bad.yaml", problem={"model": "mlq", "data": {"name": "spirals"}})
    good = small(tmp_path / "good.yaml")

    assert main([bad, good]) == 1

    told = capfd.readouterr()
    assert "found model 'mlq'" in told.err
    assert told.out.startswith(f"{tmp_path / 'good.safetensors'}: train/loss ")


def test_a_misspelt_recipe_among_several_stops_all_before_the_first(tmp_path):
    good, bad = small(tmp_path / "good.yaml"), small(tmp_path / "bad.yaml", epoch=3)

    with pytest.raises(UserError, match=r"bad.yaml: epoch: unknown key"):
        main([good, bad])
    assert not (tmp_path / "good.safetensors").exists()


@pytest.mark.parametrize("key", ["output={}/it.safetensors", "path.folder={}/path"])
def test_two_recipes_for_one_place_are_refused(key, tmp_path):
    recipes = [small(tmp_path / name) for name in ("a.yaml", "b.yaml")]

    with pytest.raises(UserError, match=r"2 recipes write .* expected a place of its own"):
        main([*recipes, "--set", key.format(tmp_path)])


def test_jobs_at_once_give_the_bytes_of_one_after_another(tmp_path):
    folders = [tmp_path / name for name in ("serial", "at_once")]
    for folder in folders:
        folder.mkdir()
        for seed in range(3):
            small(folder / f"s{seed}.yaml", seed=seed)
    serial, at_once = ([str(path) for path in sorted(f.glob("*.yaml"))] for f in folders)

    assert main(serial) == 0
    assert main([*at_once, "--jobs", "2"]) == 0

    for seed in range(3):
        found = [(folder / f"s{seed}.safetensors").read_bytes() for folder in folders]
        assert found[0] == found[1]


def test_jobs_below_one_are_refused(recipe):
    with pytest.raises(UserError, match="--jobs: found '0', expected a whole number above 0"):
        main([str(recipe), "--jobs", "0"])


def test_the_signals_are_given_back(tmp_path):
    before = {number: signal.getsignal(number) for number in SIGNALS}

    main([small(tmp_path / "it.yaml")])

    assert {number: signal.getsignal(number) for number in SIGNALS} == before


def test_the_process_ends_with_code_1_and_one_line(repository, tmp_path):
    command = [sys.executable, "-m", "losscape_mpi.train", str(tmp_path / "missing.yaml")]

    done = subprocess.run(
        command, cwd=repository, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "missing.yaml: cannot read it" in done.stderr
