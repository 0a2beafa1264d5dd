"""A training path as the places of a study, from its training to its surface file."""

import shutil
import signal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from real_runs import command, interrupted, run
from safetensors import safe_open

from losscape_mpi.errors import MismatchError, UserError
from losscape_mpi.problem.build import build_problem
from losscape_mpi.problem.checkpoint import load_into, read_state
from losscape_mpi.run.path import path_places
from losscape_mpi.run.prepare import prepare
from losscape_mpi.store.reader import read_surface, surface_sha256
from losscape_mpi.study.load import load_study
from losscape_mpi.train import main as train

pytestmark = pytest.mark.slow

EPOCHS = 6
PROBLEM = {
    "model": "mlp",
    "model_args": {"layers": 1, "width": 16},
    "data": {"name": "digits", "splits": ["train", "test"], "samples": 300},
}
# Nothing is left to be measured, so that two runs choose alike.
CHOSEN = {"batch_size": 64, "points_per_pass": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a recipe's path of checkpoints, and a study of it."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = {
        "problem": PROBLEM,
        "epochs": EPOCHS,
        "batch_size": 50,
        "lr": 0.1,
        "output": str(folder / "last.safetensors"),
        "path": {"folder": str(folder / "path")},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    train([str(folder / "recipe.yaml")])
    write_study(folder)
    return folder


def write_study(folder, **settings):
    study = {
        "name": "path",
        "problem": PROBLEM,
        "path": {"checkpoints": "path"},
        "metrics": ["loss", "accuracy", "gradient", "path_metrics:Sharpness"],
        "evaluation": CHOSEN,
        "output": "out.h5",
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study | settings))


@pytest.fixture(scope="module")
def serial(trained, repository):
    """The file of an undisturbed serial run."""
    code, said = run(command(repository, "study.yaml"), trained)
    assert code == 0, said
    assert "first checkpoint: train/loss" in said
    return trained / "out.h5"


def checkpoints(folder):
    return sorted((folder / "path").iterdir())


def test_each_checkpoint_has_the_loss_and_accuracy_of_its_own_network(trained, serial):
    surface, files = read_surface(serial), checkpoints(trained)
    assert len(files) == EPOCHS + 1
    assert (surface.is_path, surface.axis_names) == (True, ("epoch",))
    assert surface.alpha.tolist() == list(range(EPOCHS + 1))
    assert surface.manifest["path"]["labels"] == [path.name for path in files]
    study = load_study(trained / "study.yaml", [])
    problem = build_problem(study.problem)
    for k, path in enumerate(files):
        load_into(problem.model, read_state(path), path)
        for name, split in problem.splits.items():
            with torch.no_grad():
                outputs = problem.model(split.inputs).double()
            loss = F.cross_entropy(outputs, split.targets)
            hits = (outputs.argmax(dim=1) == split.targets).double().mean()
            found = surface.values[f"{name}/loss"][k, 0]
            np.testing.assert_allclose(found, float(loss), rtol=1e-6)
            assert surface.values[f"{name}/accuracy"][k, 0] == float(hits)
        squares = sum(float(p.double().square().sum()) for p in problem.model.parameters())
        norm = surface.values["train/weight_norm"][k, 0]
        np.testing.assert_allclose(norm, squares**0.5, rtol=1e-12)
    assert len(set(surface.values["train/loss"].ravel().tolist())) == EPOCHS + 1


def test_the_gradient_is_that_of_each_checkpoint(trained, serial):
    surface = read_surface(serial)
    problem = build_problem(load_study(trained / "study.yaml", []).problem)
    model = problem.model
    for k, path in enumerate(checkpoints(trained)):
        load_into(model, read_state(path), path)
        split = problem.splits["train"]
        loss = F.cross_entropy(model(split.inputs).double(), split.targets)
        slopes = torch.autograd.grad(loss, list(model.parameters()))
        norm = torch.cat([slope.reshape(-1).double() for slope in slopes]).norm()
        found = surface.values["train/gradient_norm"][k, 0]
        np.testing.assert_allclose(found, float(norm), rtol=1e-5)
    assert "train/gradient_alpha" not in surface.values


def test_three_ranks_give_the_serial_bytes(trained, serial, repository, tmp_path):
    code, said = run(command(repository, "study.yaml", "-o", tmp_path / "m.h5", ranks=3), trained)
    assert code == 0, said
    assert surface_sha256(tmp_path / "m.h5") == surface_sha256(serial)


def test_a_stopped_run_goes_on_with_the_same_bytes(trained, serial, repository, tmp_path):
    output = tmp_path / "r.h5"
    line = command(repository, "study.yaml", "-o", output)
    code = interrupted(line, trained, output, 1)
    assert code == 75
    assert 1 <= read_surface(output).counts()["done"] < EPOCHS + 1
    code, said = run(line, trained)
    assert code == 0, said
    assert surface_sha256(output) == surface_sha256(serial)


def test_another_byte_of_a_checkpoint_is_refused_by_name(trained, serial, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "copy")
    study = load_study(folder / "study.yaml", [f"output={folder / 'out.h5'}"])
    assert prepare(study).is_complete
    path = checkpoints(folder)[2]
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(MismatchError, match=r"hashes\.path: found"):
        prepare(study)


def test_another_order_of_the_checkpoints_is_another_study(trained, serial, tmp_path):
    files = [str(path) for path in checkpoints(trained)]
    swapped = [files[1], files[0], *files[2:]]
    for order, is_same in ((files, True), (swapped, False)):
        write_study(tmp_path, path={"checkpoints": order, "axis": "checkpoint"})
        study = load_study(tmp_path / "study.yaml", [f"output={tmp_path / 'none.h5'}"])
        task = prepare(study)
        found = task.hashes["path"] == read_surface(serial).manifest["hashes"]["path"]
        assert found is is_same


@pytest.mark.parametrize(
    ("axis", "name", "wanted"),
    [
        ("auto", "epoch", "epoch"),
        ("epoch", "epoch", "epoch"),
        ("step", "step", "step"),
        ("checkpoint", "checkpoint", None),
    ],
)
def test_the_axis_is_what_the_checkpoints_tell(trained, axis, name, wanted):
    files = checkpoints(trained)
    places, labels = path_places(files, axis)
    told = []
    for path in files:
        with safe_open(path, "np") as file:
            told.append(float(file.metadata()[wanted]) if wanted else float(len(told)))
    assert places.axes.keys() == {name}
    assert places.axes[name].tolist() == told
    assert labels == [path.name for path in files]


def test_an_axis_that_does_not_rise_is_refused_or_not_taken(trained):
    files = checkpoints(trained)[::-1]
    assert path_places(files, "auto")[0].axis == "checkpoint"
    with pytest.raises(UserError, match=r"path\.axis: epoch: found epochs that do not rise"):
        path_places(files, "epoch")


def test_checkpoints_are_computed_ends_and_middle_first(trained):
    places, _ = path_places(checkpoints(trained), "auto")
    order = places.coarse_to_fine().tolist()
    assert set(order[:3]) == {0, 3, 6}
    assert sorted(order) == list(range(EPOCHS + 1))


def test_a_killed_run_of_three_ranks_goes_on(trained, serial, repository, tmp_path):
    output = tmp_path / "k.h5"
    line = command(repository, "study.yaml", "-o", output, ranks=3)
    interrupted(line, trained, output, 1, signal.SIGKILL)
    code, said = run(line, trained)
    assert code == 0, said
    assert surface_sha256(output) == surface_sha256(serial)
