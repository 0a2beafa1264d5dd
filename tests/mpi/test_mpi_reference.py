"""Losses against a float64 pass, and the 2018 code's own surface, through a real MPI run."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from losscape_mpi.problem.build import build_problem
from losscape_mpi.run.prepare import prepare
from losscape_mpi.store.exchange.surface import read_2018_surface
from losscape_mpi.store.reader import read_surface
from losscape_mpi.study.load import load_study

pytestmark = [pytest.mark.mpi, pytest.mark.slow]


# The center, where the loss is tiny, and two points; python -m benchmarks.reference takes all 81.
CHECKED = [(4, 4), (0, 0), (3, 5)]


def test_losses_are_near_float64_and_accuracies_those_of_the_2018_code(
    mpich, repository, shared, tmp_path
):
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
    ours, theirs = got.values["train/loss"], want.values["train/loss"]
    np.testing.assert_allclose(ours, theirs, rtol=1.2e-5)  # their loss is float32
    hits = np.abs(got.values["train/accuracy"] - want.values["train/accuracy"]) * 500
    assert hits.max() < 1e-6
    truth = np.array([float64_loss(study, overrides, point) for point in CHECKED])
    errors, their_errors = (
        np.abs(np.array([loss[point] for point in CHECKED]) - truth) / truth
        for loss in (ours, theirs)
    )
    assert errors.max() <= 5e-6
    assert np.median(errors) <= 5e-7
    assert (errors <= their_errors + 1e-6).all()  # nowhere worse by more than rounding
    assert errors[0] < their_errors[0] / 5  # the center: float32 log-softmax errs by 1e-5


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


@torch.inference_mode()
def float64_loss(study, overrides, place) -> float:
    """The mean loss at a point of the grid by a plain loop in float64."""
    prepared = prepare(load_study(study, overrides))
    model, split = prepared.problem.model.double(), prepared.problem.splits["train"]
    point = prepared.places.point(9 * place[0] + place[1])
    for name, parameter in model.named_parameters():
        for step, direction in zip(point, prepared.directions.values(), strict=True):
            if name in direction:
                parameter.add_(step * torch.from_numpy(direction[name]).double())
    pairs = zip(split.inputs.split(100), split.targets.split(100), strict=True)
    return (
        sum(float(F.cross_entropy(model(x.double()), y, reduction="sum")) for x, y in pairs) / 500
    )


def own_loss(study, overrides) -> float:
    """The checkpoint's own mean loss: a plain loop, with the sums of the definition."""
    torch.set_num_threads(1)
    problem = build_problem(load_study(study, overrides).problem)
    model = problem.model.to(memory_format=torch.channels_last)
    images = problem.splits["train"].inputs.contiguous(memory_format=torch.channels_last)
    total = 0.0
    with torch.inference_mode():
        for x, y in zip(images.split(64), problem.splits["train"].targets.split(64), strict=True):
            total += float(F.cross_entropy(model(x).double(), y, reduction="none").sum())
    return total / len(images)
