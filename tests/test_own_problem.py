"""A user's own network, data and loss, by configuration alone: docs/examples/own_problem."""

import json
import re
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file

from losscape_mpi.store.reader import read_surface, surface_sha256

pytestmark = pytest.mark.slow

SMALL = ["--set", "grid.alpha=[-0.1, 0.1, 5]", "--set", "grid.beta=[-0.2, 0.2, 3]"]
SURFACE = "runs/own_problem.h5"
CODE = "hashes.code.my_problem:gaussian_loss"


def command(name, *arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", f"losscape_mpi.{name}", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def copy_example(repository, folder):
    example = repository / "docs" / "examples" / "own_problem"
    shutil.copytree(example, folder, ignore=shutil.ignore_patterns("runs", "__pycache__"))
    return folder


@pytest.fixture(scope="module")
def computed(repository, tmp_path_factory):
    """A copy of the example's folder, with its surface on a small grid."""
    folder = copy_example(repository, tmp_path_factory.mktemp("own") / "it's a problem")
    done = command("surface", "study.yaml", *SMALL, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def again(computed, tmp_path):
    """A copy of that folder for a test that runs or changes something in it."""
    return shutil.copytree(computed, tmp_path / "again")


def sine_with_noise(split):
    """The data of the example, drawn anew: inputs and targets as float32 values."""
    generator = np.random.default_rng({"train": 1, "test": 2}[split])
    x = generator.uniform(-1, 1, 400)
    y = np.sin(3 * x) + (0.02 + 0.1 * (x + 1)) * generator.standard_normal(400)
    return x.astype(np.float32).astype(np.float64), y.astype(np.float32).astype(np.float64)


def mean_loss(theta, split):
    """The example's loss by its formula, in float64 with numpy alone."""
    x, y = sine_with_noise(split)
    hidden = x[:, None]
    for layer in (0, 2):
        hidden = np.tanh(hidden @ theta[f"{layer}.weight"].T + theta[f"{layer}.bias"])
    mean, log_variance = (hidden @ theta["4.weight"].T + theta["4.bias"]).T
    density = np.exp(-((y - mean) ** 2) / 2 / np.exp(log_variance))
    density /= np.sqrt(2 * np.pi * np.exp(log_variance))
    return -np.log(density).mean()


def test_losses_are_those_of_an_independent_computation_at_all_points(computed):
    center = load_file(computed / "my_problem.safetensors")
    with h5py.File(computed / SURFACE, "r") as file:
        alpha, beta = file["axes/alpha"][()], file["axes/beta"][()]
        directions = {
            axis: {name: data[()] for name, data in file["directions"][axis].items()}
            for axis in ("alpha", "beta")
        }
        values = {split: file[f"{split}/loss"][()] for split in ("train", "test")}
    for split, found in values.items():
        wanted = np.zeros((len(alpha), len(beta)))
        for i, a in enumerate(alpha):
            for j, b in enumerate(beta):
                theta = {
                    name: np.float64(tensor)
                    + a * np.float64(directions["alpha"][name])
                    + b * np.float64(directions["beta"][name])
                    for name, tensor in center.items()
                }
                wanted[i, j] = mean_loss(theta, split)
        # The network runs in float32; exp(-log_variance) multiplies its rounding.
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_negative_losses_are_kept_as_computed_values(computed):
    surface = read_surface(computed / SURFACE)
    assert surface.counts() == {"total": 15, "done": 15, "nonfinite": 0, "failed": 0, "pending": 0}
    assert surface.values["train/loss"][2, 1] < -0.5
    assert (surface.values["train/loss"] < 0).sum() > 1


def test_file_remembers_the_code_of_all_three_callables(computed):
    code = read_surface(computed / SURFACE).manifest["hashes"]["code"]
    names = ["gaussian_loss", "make_model", "read_data"]
    assert sorted(code) == [f"my_problem:{name}" for name in names]


def test_changed_loss_code_is_refused_in_one_line_that_names_it(again):
    before = (again / SURFACE).read_bytes()
    code = again / "my_problem.py"
    code.write_text(code.read_text().replace("0.5 * (LOG_2PI", "0.25 * (LOG_2PI"))
    done = command("surface", "study.yaml", *SMALL, cwd=again)
    assert done.returncode == 1
    imported, line = done.stderr.splitlines()
    assert imported.startswith("code is imported: my_problem from ")
    assert CODE in line
    assert "--fresh" in line
    assert (again / SURFACE).read_bytes() == before


def test_second_run_computes_nothing_and_changes_no_byte_of_the_result(again):
    digest, before = surface_sha256(again / SURFACE), read_surface(again / SURFACE)
    done = command("surface", "study.yaml", *SMALL, cwd=again)
    assert done.returncode == 0, done.stderr
    after = read_surface(again / SURFACE)
    assert surface_sha256(again / SURFACE) == digest
    assert after.seconds.tobytes() == before.seconds.tobytes()
    assert "at the center" not in done.stderr


def test_example_as_it_stands_runs_to_its_end(repository, tmp_path):
    folder = copy_example(repository, tmp_path / "example")
    done = command("surface", "study.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert read_surface(folder / SURFACE).counts()["done"] == 21 * 21


# One weight for each axis; sample 0, of target 1, sees alpha alone, sample 1 beta alone.
EDGES = """
import numpy as np
import torch


def make_model():
    model = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    return model


def read_data(split):
    return np.eye(2, dtype=np.float32), np.array([1, 0], dtype=np.float32)


def edge_loss(outputs, targets):
    weight = outputs[:, 0]
    return torch.where(targets == 1, torch.log(weight), -torch.log(weight.abs()))
"""
EDGE_STUDY = """
name: edges
problem:
  model: edges:make_model
  data: {name: edges:read_data}
  loss: edges:edge_loss
plane: {kind: file, path: unit_vectors.h5}
grid: {alpha: [-2, 2, 5], beta: [-1, 1, 3]}
metrics: [loss]
output: edges.h5
"""


def edge_losses():
    """(log alpha - log |beta|) / 2: NaN, both infinities, zero and a positive number."""
    alpha, beta = np.meshgrid([-2.0, -1.0, 0.0, 1.0, 2.0], [-1.0, 0.0, 1.0], indexing="ij")
    with np.errstate(divide="ignore", invalid="ignore"):
        return (np.log(alpha) - np.log(np.abs(beta))) / 2


@pytest.fixture(scope="module")
def edges(tmp_path_factory):
    """A folder with the surface of a loss that is NaN, infinite or 0 at most points."""
    folder = tmp_path_factory.mktemp("edges")
    (folder / "edges.py").write_text(EDGES)
    (folder / "study.yaml").write_text(EDGE_STUDY)
    with h5py.File(folder / "unit_vectors.h5", "w") as file:
        file["xdirection/0"] = np.array([[1.0, 0.0]])
        file["ydirection/0"] = np.array([[0.0, 1.0]])
    done = command("surface", "study.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_nan_infinity_and_zero_are_kept_as_ieee_gives_them(edges):
    surface, wanted = read_surface(edges / "edges.h5"), edge_losses()
    assert np.isnan(wanted).sum() == 7
    assert (wanted == np.inf).sum() == (wanted == -np.inf).sum() == (wanted == 0).sum() == 2
    np.testing.assert_allclose(surface.values["train/loss"], wanted, rtol=1e-6)
    assert (surface.status == np.where(np.isfinite(wanted), 1, 2)).all()
    # The outputs are finite everywhere: it is the loss that is not.
    assert not surface.values["train/nonfinite"].any()


def test_status_counts_the_nonfinite_points_as_done(edges):
    done = command("status", "edges.h5", cwd=edges)
    assert done.returncode == 0
    assert re.search(r"points +15 of 15 done, 11 of them not finite\n", done.stdout)


def test_nonfinite_points_are_not_computed_again(edges):
    digest, before = surface_sha256(edges / "edges.h5"), read_surface(edges / "edges.h5")
    done = command("surface", "study.yaml", cwd=edges)
    assert done.returncode == 0
    assert "15 points, 11 of them not finite" in done.stdout
    after = read_surface(edges / "edges.h5")
    assert surface_sha256(edges / "edges.h5") == digest
    assert after.seconds.tobytes() == before.seconds.tobytes()
    assert (after.attempts == 1).all()


def test_surface_of_mostly_nonfinite_points_is_drawn(edges):
    done = command("render", "edges.h5", cwd=edges)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert (edges / line).read_bytes().startswith(b"\x89PNG")
    assert len(done.stdout.splitlines()) == 3


def test_manifest_of_the_example_is_json_that_names_no_path(computed):
    with h5py.File(computed / SURFACE, "r") as file:
        text = file["manifest"][()].decode()
    assert str(computed) not in text
    assert json.loads(text)["study"]["problem"]["model_args"] == {"width": 24}


METRICS = "metrics=[loss, my_measures:calibration, my_measures:WeightNorm]"


def test_the_documented_metrics_are_computed_with_errors_and_drawn(again):
    done = command("surface", "study.yaml", *SMALL, "-o", "runs/m.h5", "--set", METRICS, cwd=again)
    assert done.returncode == 0, done.stderr
    surface = read_surface(again / "runs" / "m.h5")
    assert surface.metrics == ["loss", "squared", "covered", "norm"]
    center = load_file(again / "my_problem.safetensors")
    norm = np.sqrt(sum(np.square(t.astype(np.float64)).sum() for t in center.values()))
    (i,), (j,) = np.flatnonzero(surface.alpha == 0), np.flatnonzero(surface.beta == 0)
    assert surface.values["network/norm"][i, j] == pytest.approx(norm, rel=1e-6)
    covered = surface.values["train/covered"][i, j]
    assert 0.9 < covered < 1.0  # 95.4 % of a Gaussian lie within two deviations
    assert surface.error("train/covered")[i, j] == 0  # all samples of the split were taken
    drawn = command("render", "runs/m.h5", "--metric", "covered", cwd=again)
    assert drawn.returncode == 0, drawn.stderr
    assert (again / "runs" / "m_covered_contour.png").exists()
