"""Bad input gives one clear line and exit code 1; another study is refused by name."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from losscape_mpi.store.reader import surface_sha256

SMALL = {"alpha": [-1, 1, 3], "beta": [-1, 1, 2]}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "losscape_mpi.surface", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def small_study(folder: Path, repository: Path) -> dict:
    """A small study of the built-in network, whose checkpoint is copied into the folder."""
    builtin = repository / "losscape_mpi" / "study" / "builtin" / "digits.safetensors"
    shutil.copy(builtin, folder / "net.safetensors")
    return {
        "name": "mine",
        "problem": {
            "model": "digits_resnet",
            "checkpoint": "net.safetensors",
            "data": {"name": "digits", "samples": 40},
        },
        "grid": dict(SMALL),
        "output": "out.h5",
    }


@pytest.fixture
def study(tmp_path, repository) -> dict:
    return small_study(tmp_path, repository)


def write(folder: Path, study: dict) -> str:
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return "study.yaml"


def assert_one_line(done: subprocess.CompletedProcess, *wanted: str) -> None:
    assert done.returncode == 1, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in wanted:
        assert word in lines[0]


def absent_checkpoint(folder, study):
    study["problem"]["checkpoint"] = "absent.pt"
    return ["absent.pt"]


def wrong_architecture(folder, study):
    study["problem"]["model"] = "logistic"
    return ["net.safetensors", "does not fit", "unexpected"]


def misspelt_key(folder, study):
    study["problem"]["modle"] = study["problem"].pop("model")
    return ["problem.modle", "problem.model"]


def absent_data(folder, study):
    study["problem"]["data"] = {"name": "cifar10", "root": "nowhere"}
    return ["nowhere", "cifar-10-python.tar.gz"]


def unwritable_output(folder, study):
    (folder / "file").write_text("")
    study["output"] = "file/out.h5"
    return ["file/out.h5"]


def grid_of_no_points(folder, study):
    study["grid"]["alpha"] = [-1, 1, 0]
    return ["grid.alpha", "0 points"]


def corrupt_surface(folder, study):
    (folder / "out.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 400)
    return ["out.h5", "not a readable HDF5 file"]


def foreign_surface(folder, study):
    (folder / "out.h5").write_text("just text")
    return ["out.h5"]


def pickle_that_is_no_batch(folder, study):
    (folder / "data").mkdir()
    for number in range(1, 6):
        (folder / "data" / f"data_batch_{number}").write_bytes(pickle.dumps({"a": [1]}))
    (folder / "data" / "test_batch").write_bytes(pickle.dumps({"a": [1]}))
    study["problem"]["data"] = {"name": "cifar10", "root": "data"}
    return ["data_batch_1"]


@pytest.mark.parametrize(
    "spoil",
    [
        absent_checkpoint,
        wrong_architecture,
        misspelt_key,
        absent_data,
        unwritable_output,
        grid_of_no_points,
        corrupt_surface,
        foreign_surface,
        pickle_that_is_no_batch,
    ],
)
@pytest.mark.slow
def test_a_mistake_is_one_line_and_changes_no_file(tmp_path, study, spoil):
    wanted = spoil(tmp_path, study)
    name = write(tmp_path, study)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    done = run(tmp_path, name)

    assert_one_line(done, *wanted)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_study_that_is_no_yaml_is_one_line(tmp_path):
    (tmp_path / "study.yaml").write_text("a: [1\nb: }")

    assert_one_line(run(tmp_path, "study.yaml"), "study.yaml", "YAML")


def test_an_unknown_option_is_one_line(tmp_path):
    assert_one_line(run(tmp_path, "--grid", "3"), "--grid", "--help")


def flip_checkpoint_byte(folder, study):
    data = bytearray((folder / "net.safetensors").read_bytes())
    data[-3] ^= 1
    (folder / "net.safetensors").write_bytes(bytes(data))
    return "hashes.checkpoint"


def change_seed(folder, study):
    study["plane"] = {"seed": 1}
    return "plane.seed: found 0, wanted 1"


def change_grid(folder, study):
    study["grid"]["alpha"] = [-1, 1, 5]
    return "grid.alpha"


def change_samples(folder, study):
    study["problem"]["data"]["samples"] = 41
    return "problem.data.samples: found 40, wanted 41"


def change_metrics(folder, study):
    study["metrics"] = ["loss"]
    return "metrics"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, repository):
    """A finished run of the small study, to be copied."""
    folder = tmp_path_factory.mktemp("finished")
    study = small_study(folder, repository)
    done = run(folder, write(folder, study))
    assert done.returncode == 0, done.stderr
    return folder, study


@pytest.mark.parametrize(
    "change", [flip_checkpoint_byte, change_seed, change_grid, change_samples, change_metrics]
)
@pytest.mark.slow
def test_another_study_is_refused_by_the_field_that_differs(tmp_path, finished, change):
    folder, study = finished
    study = yaml.safe_load(yaml.safe_dump(study))
    for name in ("out.h5", "net.safetensors"):
        shutil.copy(folder / name, tmp_path)
    wanted = change(tmp_path, study)
    before = (tmp_path / "out.h5").read_bytes()

    done = run(tmp_path, write(tmp_path, study))

    assert_one_line(done, "out.h5", wanted, "--fresh")
    assert (tmp_path / "out.h5").read_bytes() == before


@pytest.mark.slow
def test_one_changed_byte_of_the_data_is_refused(tmp_path, repository):
    study = cifar_study(tmp_path)
    assert run(tmp_path, write(tmp_path, study)).returncode == 0
    batch = pickle.loads((tmp_path / "data" / "data_batch_3").read_bytes())
    batch["data"][1, 7] ^= 1
    (tmp_path / "data" / "data_batch_3").write_bytes(pickle.dumps(batch))

    done = run(tmp_path, "study.yaml")

    assert_one_line(done, "hashes.data.train", "--fresh")


@pytest.mark.slow
def test_fresh_keeps_the_old_file_under_a_backup_name(tmp_path, finished):
    folder, study = finished
    for name in ("out.h5", "net.safetensors"):
        shutil.copy(folder / name, tmp_path)
    study = study | {"plane": {"seed": 7}}

    done = run(tmp_path, write(tmp_path, study), "--fresh")

    assert done.returncode == 0, done.stderr
    assert surface_sha256(tmp_path / "out.1.h5") == surface_sha256(folder / "out.h5")
    assert surface_sha256(tmp_path / "out.h5") != surface_sha256(folder / "out.h5")


@pytest.mark.slow
def test_a_moved_and_renamed_checkpoint_is_the_same_study(tmp_path, finished):
    folder, study = finished
    shutil.copy(folder / "out.h5", tmp_path)
    (tmp_path / 'a folder, "quoted"').mkdir()
    moved = tmp_path / 'a folder, "quoted"' / "other name.safetensors"
    shutil.copy(folder / "net.safetensors", moved)
    study = yaml.safe_load(yaml.safe_dump(study))
    study["problem"]["checkpoint"] = str(moved.relative_to(tmp_path))

    done = run(tmp_path, write(tmp_path, study))

    assert done.returncode == 0, done.stderr
    assert "complete" in done.stdout


def cifar_study(folder: Path) -> dict:
    """A logistic regression on a few images in the official layout, made here."""
    (folder / "data").mkdir()
    rng = np.random.default_rng(0)
    for name in [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]:
        batch = {
            "batch_label": name,
            "labels": rng.integers(0, 10, 4).tolist(),
            "data": rng.integers(0, 256, (4, 3072), dtype=np.uint8),
            "filenames": ["x.png"] * 4,
        }
        (folder / "data" / name).write_bytes(pickle.dumps(batch))
    return {
        "name": "images",
        "problem": {"model": "logistic", "data": {"name": "cifar10", "root": "data"}},
        "grid": {"alpha": [-1, 1, 2], "beta": None},
        "output": "out.h5",
    }
