"""The 2018 code's own surface of the authors' own checkpoint, through a real MPI run."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from losscape_mpi.problem.build import build_problem
from losscape_mpi.store.exchange.surface import read_2018_surface
from losscape_mpi.store.reader import read_surface
from losscape_mpi.study.load import load_study

pytestmark = [pytest.mark.mpi, pytest.mark.slow]


def test_losses_and_accuracies_are_those_of_the_2018_code(mpich, repository, shared, tmp_path):
    reference = shared / "reference" / "resnet56"
    overrides = [
        "grid.alpha=[-1,1,9]",
        "grid.beta=[-1,1,9]",
        "problem.data.samples=500",
        "problem.data.order=first",
        "plane.kind=file",
        f"plane.path={reference / 'directions.h5'}",
    ]
    study = repository / "configs" / "resnet56.yaml"
    arguments = [word for item in overrides for word in ("--set", item)]

    done = mpich.run(
        3,
        *("-m", "losscape_mpi.surface", str(study), *arguments, "-o", "out.h5"),
        cwd=tmp_path,
        timeout_s=600,
    )

    assert done.returncode == 0, done.stderr
    got = read_surface(tmp_path / "out.h5")
    want = read_2018_surface(reference / "surface.h5")
    np.testing.assert_allclose(got.values["train/loss"], want.values["train/loss"], rtol=1e-5)
    hits = np.abs(got.values["train/accuracy"] - want.values["train/accuracy"]) * 500
    assert hits.max() <= 1
    np.testing.assert_allclose(
        got.values["train/loss"][4, 4], own_loss(study, overrides), rtol=1e-5
    )


def test_layer_by_layer_the_center_has_the_checkpoints_own_loss_bit_for_bit(
    mpich, repository, shared, tmp_path
):
    study = repository / "configs" / "resnet56.yaml"
    overrides = ["grid.alpha=[0,0,1]", "grid.beta=null", "problem.data.samples=500"]
    overrides += ["problem.data.order=first", "evaluation.fused=false", "evaluation.batch_size=64"]
    arguments = [word for item in overrides for word in ("--set", item)]
    done = mpich.run(
        1,
        *("-m", "losscape_mpi.surface", str(study), *arguments, "-o", "out.h5"),
        cwd=tmp_path,
        timeout_s=300,
    )
    assert done.returncode == 0, done.stderr
    loss = read_surface(tmp_path / "out.h5").values["train/loss"][0, 0]
    np.testing.assert_allclose(loss, own_loss(study, overrides), rtol=1e-15)


def own_loss(study, overrides) -> float:
    """The checkpoint's own mean loss: a plain loop, with the sums of the definition."""
    torch.set_num_threads(1)
    problem = build_problem(load_study(study, overrides).problem)
    model = problem.model.to(memory_format=torch.channels_last)
    images = problem.splits["train"].inputs.contiguous(memory_format=torch.channels_last)
    total = 0.0
    with torch.inference_mode():
        for x, y in zip(images.split(64), problem.splits["train"].targets.split(64), strict=True):
            total += float(F.cross_entropy(model(x), y, reduction="none").double().sum())
    return total / len(images)
