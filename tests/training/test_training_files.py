"""The files of a training: path, metrics, backups, and whose they are."""

import csv
import json

import pytest
import torch
from safetensors import safe_open
from small_recipes import recipe

from losscape_mpi.errors import UserError
from losscape_mpi.figures.line.training_curve import save_training_curve
from losscape_mpi.problem.build import build_problem
from losscape_mpi.problem.checkpoint import load_into, read_state
from losscape_mpi.training.files import TrainingFiles
from losscape_mpi.training.follow import follow as follow_and_draw
from losscape_mpi.training.label_noise import labels_sha256, wrong_labels
from losscape_mpi.training.measure import measure


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def follow(config, fresh, stopping):
    return follow_and_draw(config, fresh, stopping, save_training_curve)


def never():
    return False


def after(questions):
    """A question that is answered yes after so many noes."""
    answers = iter([False] * questions)
    return lambda: next(answers, True)


def header(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


PATH = {"folder": "path", "every": 2, "unit": "epoch"}


def test_the_path_has_the_start_every_second_epoch_and_the_end(tmp_path):
    follow(recipe(path=PATH, epochs=5, batch_size=20), False, never)

    assert names(tmp_path / "path") == [f"epoch_000{k}.safetensors" for k in (0, 2, 4, 5)]
    places = [
        (header(p)["epoch"], header(p)["step"]) for p in sorted((tmp_path / "path").iterdir())
    ]
    assert places == [("0", "0"), ("2", "6"), ("4", "12"), ("5", "15")]


def test_a_path_in_steps_counts_steps_and_its_names_sort_in_order(tmp_path):
    path = {"folder": "path", "every": 4, "unit": "step"}
    follow(recipe(path=path, epochs=3, batch_size=20), False, never)
    assert names(tmp_path / "path") == [f"step_000{k}.safetensors" for k in (0, 4, 8, 9)]

    far = {"folder": "far", "every": 6000, "unit": "step"}
    follow(recipe(path=far, epochs=4000, batch_size=20, output="far.safetensors"), False, after(1))
    assert names(tmp_path / "far") == ["step_00000.safetensors"]  # 12,000 steps have 5 digits


def test_a_checkpoint_of_the_path_loads_and_has_the_loss_that_its_header_says(tmp_path):
    config = recipe(path=PATH, epochs=4)
    follow(config, False, never)
    problem = build_problem(config.problem)
    start = {k: v.clone() for k, v in problem.model.state_dict().items()}

    for file in sorted((tmp_path / "path").iterdir()):
        load_into(problem.model, read_state(file), file)
        found = measure(problem)
        assert float(header(file)["loss"]) == found["train/loss"]
        assert float(header(file)["test/accuracy"]) == found["test/accuracy"]

    first, last = (read_state(tmp_path / "path" / f"epoch_000{k}.safetensors") for k in (0, 4))
    final = read_state(tmp_path / "it.safetensors")
    assert all(torch.equal(value, start[name]) for name, value in first.items())
    assert all(torch.equal(value, final[name]) for name, value in last.items())
    assert str(tmp_path) not in str(header(tmp_path / "path" / "epoch_0000.safetensors"))


def test_the_metrics_are_those_of_the_path(tmp_path):
    follow(recipe(path=PATH | {"every": 1}, lr=0.4), False, never)

    with open(tmp_path / "it_metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert [float(row["lr"]) for row in rows] == pytest.approx([0.4, 0.4, 0.3, 0.1])
    for row in rows:
        told = header(tmp_path / "path" / f"epoch_000{row['epoch']}.safetensors")
        for name in ("train/loss", "train/accuracy", "test/loss", "test/accuracy"):
            assert float(row[name]) == float(told[name])


def test_the_header_records_the_wrong_labels(tmp_path):
    config = recipe(label_noise={"fraction": 0.25, "seed": 2})
    follow(config, False, never)

    clean = build_problem(config.problem).splits["train"]
    noisy = wrong_labels(clean, config.label_noise)
    told = json.loads(header(tmp_path / "it.safetensors")["label_noise"])
    assert told == {"changed": 15, "sha256": labels_sha256(noisy)}


def test_a_finished_training_leaves_its_four_files_and_no_other(tmp_path):
    follow(recipe(path=PATH), False, never)

    wanted = ["it.safetensors", "it_curve.png", "it_metrics.csv", "path"]
    assert names(tmp_path) == wanted


@pytest.mark.parametrize("questions", [0, 3, 7])  # before, between and in epochs of 3 steps
def test_a_stopped_training_leaves_its_state_and_goes_on_to_the_same_files(questions, tmp_path):
    config = recipe(path=PATH, epochs=5, batch_size=20)
    (tmp_path / "whole").mkdir()
    whole = config.model_copy(
        update={
            "output": tmp_path / "whole" / "it.safetensors",
            "path": config.path.model_copy(update={"folder": tmp_path / "whole" / "path"}),
        }
    )
    follow(whole, False, never)

    assert not follow(config, False, after(questions))
    assert "it_state.safetensors" in names(tmp_path)
    assert "it.safetensors" not in names(tmp_path)
    assert follow(config, False, never)

    for name in ("it.safetensors", "it_metrics.csv", "it_curve.png"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    for file in (tmp_path / "path").iterdir():
        assert file.read_bytes() == (tmp_path / "whole" / "path" / file.name).read_bytes()
    assert names(tmp_path / "path") == names(tmp_path / "whole" / "path")
    assert "it_state.safetensors" not in names(tmp_path)


def test_a_finished_training_is_left_as_it_is(tmp_path, capsys):
    config = recipe()
    follow(config, False, never)
    before = (tmp_path / "it.safetensors").stat()
    capsys.readouterr()

    assert follow(config, False, never)

    after_it = (tmp_path / "it.safetensors").stat()
    assert (after_it.st_ino, after_it.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    told = capsys.readouterr().out
    assert told.startswith("it.safetensors: complete, nothing to do: train/loss ")


@pytest.mark.parametrize("questions", [100, 4])  # finished, stopped
def test_a_changed_recipe_is_refused_and_changes_nothing(questions, tmp_path):
    follow(recipe(batch_size=20), False, after(questions))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(UserError, match=r"\(lr: found 0.5, wanted 0.25\).* --fresh"):
        follow(recipe(batch_size=20, lr=0.25), False, never)

    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_fresh_keeps_everything_old_under_one_number(tmp_path):
    follow(recipe(path=PATH, seed=1, batch_size=20), False, never)
    old = (tmp_path / "it.safetensors").read_bytes()
    (tmp_path / "it_curve.1.png").touch()  # 1 is taken by one of them

    follow(recipe(path=PATH, seed=2, batch_size=20), True, never)

    assert (tmp_path / "it.2.safetensors").read_bytes() == old
    assert (tmp_path / "it.safetensors").read_bytes() != old
    kept = {"it.2.safetensors", "it_metrics.2.csv", "it_curve.2.png", "path.2"}
    assert kept < set(names(tmp_path))
    assert names(tmp_path / "path.2") == names(tmp_path / "path")


def test_a_path_folder_of_another_training_is_refused(tmp_path):
    follow(recipe(path=PATH), False, never)

    with pytest.raises(UserError, match=r"path holds 3 checkpoints .* choose another path.folder"):
        follow(recipe(path=PATH, output="second.safetensors"), False, never)
    assert "second.safetensors" not in names(tmp_path)


def test_a_diverged_training_leaves_its_metrics_and_no_state(tmp_path):
    data = {"name": "spirals", "args": {"per_arm": 20}}
    settings = {"problem": {"model": "mlp", "data": data}, "epochs": 50, "batch_size": 20}
    settings |= {"schedule": "constant", "weight_decay": 0, "nesterov": False, "momentum": 0}

    with pytest.raises(UserError, match="choose a smaller lr"):
        follow(recipe(**settings, lr=1e3), False, never)

    assert set(names(tmp_path)) <= {"it_metrics.csv"}


def test_a_second_run_at_the_same_time_is_refused(tmp_path):
    def meanwhile():
        with pytest.raises(UserError, match="locked: another run writes it"):
            follow(recipe(), False, never)
        return False

    assert follow(recipe(epochs=1), False, meanwhile)
    assert "it.safetensors.lock" not in names(tmp_path)


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    files = TrainingFiles(recipe(path=PATH))
    (tmp_path / "path").mkdir()
    half = [tmp_path / ".it.safetensors.7.tmp", tmp_path / ".it_state.safetensors.7.tmp"]
    half += [tmp_path / "path" / ".epoch_0001.safetensors.7.tmp"]
    other = tmp_path / ".another.safetensors.7.tmp"
    for path in [*half, other]:
        path.touch()

    files.remove_partial()

    assert not any(path.exists() for path in half)
    assert other.exists()


def test_a_file_that_is_no_checkpoint_is_not_replaced(tmp_path):
    (tmp_path / "it.safetensors").write_text("my thesis")

    with pytest.raises(UserError, match=r"it.safetensors cannot be read as .* --fresh"):
        follow(recipe(), False, never)

    assert (tmp_path / "it.safetensors").read_text() == "my thesis"


def test_a_training_is_not_lost_to_its_figure(tmp_path, caplog):
    def broken(*_):
        raise RuntimeError("latex could not be found")

    assert follow_and_draw(recipe(epochs=2, batch_size=20), False, never, broken)
    (told,) = [m for m in caplog.messages if "cannot be drawn" in m]
    assert "(latex could not be found); its numbers are in" in told
    assert read_state(recipe(epochs=2, batch_size=20).output)
