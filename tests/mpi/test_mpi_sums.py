"""A sum over shards has the same bits on any number of ranks, whoever dies on the way."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from losscape_mpi.problem.build import build_problem
from losscape_mpi.study.load import load_study
from losscape_mpi.task.shards import NUM_SHARDS

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

HERE = Path(__file__).parent
MODEL = ["problem.model='mortal_model:build'", "problem.checkpoint=null", "output=none.h5"]
SAMPLES = 250  # no multiple of the shards


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("mortal_model.py", "gradient_sum.py"):
        shutil.copy(HERE / name, tmp_path)
    return tmp_path


def arguments(*more):
    return [
        "gradient_sum.py",
        "digits",
        "out.npy",
        *MODEL,
        f"problem.data.samples={SAMPLES}",
        *more,
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, repository) -> np.ndarray:
    """The sums of a single process: two in a row at the same place."""
    folder = tmp_path_factory.mktemp("alone")
    for name in ("mortal_model.py", "gradient_sum.py"):
        shutil.copy(HERE / name, folder)
    python = str(repository / ".venv" / "bin" / "python")
    subprocess.run([python, *arguments()], cwd=folder, check=True, timeout=100)
    return np.load(folder / "out.npy")


def test_the_sum_is_the_gradient_of_one_pass_over_all_samples(alone, folder, monkeypatch):
    monkeypatch.chdir(folder)
    study = load_study(None, [*MODEL, f"problem.data.samples={SAMPLES}"])
    problem = build_problem(study.problem, "float64")
    split = problem.splits["train"]
    parameters = [p.requires_grad_() for p in problem.model.parameters()]
    loss = torch.nn.functional.cross_entropy(
        problem.model(split.inputs), split.targets, reduction="sum"
    )
    slopes = torch.autograd.grad(loss, parameters)
    wanted = torch.cat([loss.detach().reshape(1), *(s.reshape(-1) for s in slopes)]).numpy()
    assert SAMPLES > NUM_SHARDS
    np.testing.assert_allclose(alone[0], wanted, rtol=1e-4, atol=1e-6 * np.abs(wanted[1:]).max())
    assert alone[0].tobytes() == alone[1].tobytes()


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_any_number_of_ranks_gives_the_same_bits(mpich, folder, alone, ranks):
    done = mpich.run(ranks, *arguments(), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert np.load(folder / "out.npy").tobytes() == alone.tobytes()


@pytest.mark.parametrize("passes", [5, 20])
def test_an_evaluator_that_is_killed_costs_a_shard(launcher, folder, alone, passes):
    (folder / "dies_at").write_text(str(passes))
    done = launcher.run(3, *arguments(), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "mark").exists()
    assert "killed by signal 9" in done.stderr
    assert "tried again" in done.stderr
    assert np.load(folder / "out.npy").tobytes() == alone.tobytes()
