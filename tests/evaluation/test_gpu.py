"""The CUDA path against the CPU: the same code, the same numbers up to rounding."""

import numpy as np
import pytest
import torch

from losscape_mpi.evaluation.checks import check_determinism
from losscape_mpi.evaluation.choices import Choices
from losscape_mpi.evaluation.evaluator import Evaluator
from losscape_mpi.evaluation.process import configure_torch
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.problem.build import build_problem
from losscape_mpi.study.load import load_study

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(scope="module")
def scene():
    configure_torch()
    study = load_study(None)
    problem = build_problem(study.problem)
    return problem, make_plane(study.plane, 2, dict(problem.model.named_parameters())).directions


def evaluator_on(scene, device, **choices):
    problem, directions = scene
    choices = Choices(256, choices.pop("layout", "channels_last"), **choices)
    return Evaluator(problem, directions, ["loss", "accuracy"], choices, torch.device(device))


def rows(evaluator):
    return np.array(list(evaluator.evaluate_many([(0.0, 0.0), (0.3, -0.2), (-1.0, 1.0)])))


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_a_gpu_gives_the_values_of_the_cpu(scene, layout):
    gpu, cpu = (
        rows(evaluator_on(scene, device, layout=layout, precision="float64"))
        for device in ("cuda:0", "cpu")
    )
    np.testing.assert_allclose(gpu, cpu, rtol=1e-9)


@pytest.mark.parametrize("points", [1, 2])
@pytest.mark.parametrize("fused", [False, True])
def test_a_gpu_gives_the_same_bytes_twice(scene, fused, points):
    evaluator = evaluator_on(scene, "cuda:0", fused=fused, points_per_pass=points)
    first = check_determinism(evaluator, scene[0])
    assert evaluator.evaluate(0.0, 0.0).tobytes() == first.tobytes()
    assert rows(evaluator).tobytes() == rows(evaluator).tobytes()


@pytest.mark.parametrize(("precision", "error"), [("tf32", 5e-3), ("bfloat16", 0.2)])
def test_low_precision_on_a_gpu_is_near_float32(scene, precision, error):
    low = rows(evaluator_on(scene, "cuda:0", fused=True, precision=precision))
    exact = rows(evaluator_on(scene, "cuda:0", fused=True))
    np.testing.assert_allclose(low[1:, 0], exact[1:, 0], rtol=error)
    assert (low[:, 0] != exact[:, 0]).any()
